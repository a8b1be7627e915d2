"""How large adlib is: lines, public names, and what runs from fit to a score.

Run ``python benchmarks/house.py``. Lines are those of Python files and templates, all
of them, blank ones too. From fit to a score: the functions of adlib's that
``PatchCore().fit(folder).score(folder)`` runs on a CPU, from their first line to their
last, with the compiled kernels and without what runs at import.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

import adlib

PACKAGE = Path(adlib.__file__).parent
TEXTS = {".py", ".css", ".html", ".j2", ".jinja", ".js", ".typ"}
APPLICATION = ("study", "report", "examples")


def n_lines(files):
    return sum(len(file.read_text("utf-8").splitlines()) for file in files)


def texts(folder):
    return [file for file in sorted(folder.rglob("*")) if file.suffix in TEXTS]


def n_names(files):
    """Return how many names the modules offer whose own names are public."""
    n = 0
    for file in files:
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        public = parts[:-1] if parts[-1] == "__init__" else parts
        if any(part.startswith("_") for part in public) or file.suffix != ".py":
            continue
        module = import_module(".".join(public))
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__
        ]
        n += len(getattr(module, "__all__", own))
    return n


def rooms():
    """Return files, lines and public names of each room."""
    found = {"adlib/*.py": sorted(PACKAGE.glob("*.py"))}
    for init in sorted(PACKAGE.glob("*/__init__.py")):
        found[init.parent.name] = texts(init.parent)
    numbers = {
        # The command line's names are its commands.
        name: (len(files), n_lines(files), 0 if name == "cli" else n_names(files))
        for name, files in found.items()
    }
    examples = texts(PACKAGE.parent / "examples")
    return {**numbers, "examples": (len(examples), n_lines(examples), 0)}


def compiled():
    """Return the code of the kernels that have run, and of what they call."""
    asked = [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("adlib.")
        for value in vars(module).values()
        if getattr(value, "signatures", None) and hasattr(value, "py_func")
    ]
    found = {}
    while asked:
        function = asked.pop().py_func
        if function.__code__ not in found:
            found[function.__code__] = None
            known = (function.__globals__.get(n) for n in function.__code__.co_names)
            asked += [value for value in known if hasattr(value, "py_func")]
    return set(found)


def codes_of_a_run(folder):
    """Return the code of the functions that run from fit to a score."""
    # What is imported late, compiled or kept for a size comes first, at another size.
    adlib.PatchCore(image_size=64, device="cpu").fit(folder).score(folder)
    entered = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            entered.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        adlib.PatchCore(device="cpu", progress=False).fit(folder).score(folder)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return entered | compiled()


def from_fit_to_score():
    """Return how many files and lines of adlib's run."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(6):
            pixels = rng.integers(0, 256, (80, 90, 3), np.uint8)
            Image.fromarray(pixels).save(f"{folder}/{number}.png")
        codes = codes_of_a_run(folder)
    ran = {
        (code.co_filename, line)
        for code in codes
        if Path(code.co_filename).is_relative_to(PACKAGE)
        for line in range(
            code.co_firstlineno,
            1 + max(line for *_, line in code.co_lines() if line is not None),
        )
    }
    return len({file for file, _ in ran}), len(ran)


def main():
    found = rooms()
    print(f"{'room':<26}{'files':>7}{'lines':>8}{'names':>7}")
    for name, numbers in found.items():
        print("{:<26}{:>7}{:>8,}{:>7}".format(name, *numbers))
    package = [numbers for name, numbers in found.items() if name != "examples"]
    application = [found[name] for name in APPLICATION]
    for name, some in (
        ("study, report, examples", application),
        ("the package", package),
    ):
        sums = [sum(column) for column in zip(*some, strict=True)]
        print("{:<26}{:>7}{:>8,}{:>7}".format(name, *sums))
    files, lines = from_fit_to_score()
    print(f"{'from fit to a score':<26}{files:>7}{lines:>8,}")


if __name__ == "__main__":
    main()
