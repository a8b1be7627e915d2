"""The study as ten notebooks, made from the cells of its scripts.

Nothing else holds them: a notebook repeats a script's first cell, which starts the
phase, and takes of the others those that ``NOTEBOOKS`` names.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from adlib._files import replacing

ALL: tuple[int, ...] | None = None  # cells of a script; its first is always there
NOTEBOOKS: Mapping[str, Mapping[str, tuple[int, ...] | None]] = {
    "01_data_exploration": {"phase00_setup": ALL, "phase01_explore_and_split": (1,)},
    "02_data_preparation": {"phase01_explore_and_split": (2,)},
    "03_domain_shift_generation": {"phase02_domain_shift": ALL},
    "04_patchcore_clean": {"phase03_patchcore_clean": ALL},
    "05_padim_clean": {"phase04_padim_clean": ALL},
    "06_evaluation_clean": {"phase05_evaluate_clean": ALL},
    "07_patchcore_shift": {"phase07_shift_adaptation": (1,)},
    "08_padim_shift": {"phase07_shift_adaptation": (2,)},
    "09_evaluation_shift": {
        "phase06_shift_no_adaptation": ALL,
        "phase07_shift_adaptation": (3, 4, 5),
    },
    "10_results_visualization": {
        "phase08_global_model": ALL,
        "phase09_errors_and_ablations": ALL,
        "phase09_interpretation": ALL,
        "phase09_efficiency": ALL,
        "phase10_report": ALL,
    },
}
DATA_SET = """\
from adlib.datasets import MVTecDataset, get_clean_transforms

size = phase.config.backbone.image_size
val = next(iter(splits.values())).val
paths, masks = [one.image_path for one in val], [one.mask_path for one in val]
data = MVTecDataset(paths, masks, get_clean_transforms(size), "val")
image, mask, label, path = next(entry for entry in data if entry[2])
print(image.shape, mask.shape, f"{mask.sum()} pixels of defects", label, path)
"""
MODEL = [
    ("The last model: what it learned, and its threshold.", "model"),
    (
        "What it says of one defect of the validation images.",
        "next(model.inspect([max(split.val, key=lambda one: one.label).image_path]))",
    ),
]
# What a notebook shows beyond its scripts, as (text, code) of cells.
BESIDE = {
    "02_data_preparation": [("An image as a DataLoader gets it.", DATA_SET)],
    "04_patchcore_clean": MODEL,
    "05_padim_clean": MODEL,
    "07_patchcore_shift": MODEL,
    "08_padim_shift": MODEL,
}
START = """\
import sys

from adlib.study._notebooks import show_pictures

sys.argv = ["phase", "--config", {config!r}]
show_pictures({outputs!r})
"""
STARTED = """\
A notebook of adlib's study, made from its scripts. It needs those before it. Restart
the kernel to run it again."""
SHOWN_AT = 110 / 250  # so that letters are as large as the text's
KEPT_AT = 1.5 * SHOWN_AT  # pixels of what a notebook keeps, of the picture's
_shown: dict[Path, int] = {}


class ScriptCell(NamedTuple):
    """The text, as Markdown, and the code of one cell of a script."""

    text: str
    code: str


def script_cells(script: str) -> list[ScriptCell]:
    """Return the cells of a script: its docstring's, and one for each "# %%"."""
    first, *others = re.split(r"^# %%.*\n", script, flags=re.MULTILINE)
    _, text, code = first.split('"""', 2)
    title, _, rest = text.partition("\n")
    cells = [ScriptCell(f"## {title}\n{rest}".strip(), code.strip())]
    for part in others:
        lines = part.splitlines()
        n_text = next(i for i, line in enumerate(lines) if not line.startswith("#"))
        words = "\n".join(line.removeprefix("#").strip() for line in lines[:n_text])
        cells.append(ScriptCell(words, "\n".join(lines[n_text:]).strip()))
    return cells


def write_notebooks(
    scripts: Sequence[Path], config: Path, outputs: Path, folder: Path
) -> list[Path]:
    """Write the notebooks that hold the scripts' cells, not executed; return them.

    They read the configuration from a file, and show pictures that appear in outputs.
    """
    nbformat = library("nbformat")
    new, cells_of = nbformat.v4, {}
    for script in scripts:
        cells_of[script.stem] = script_cells(script.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, parts in NOTEBOOKS.items():
        start = START.format(config=str(config), outputs=str(outputs))
        cells = [ScriptCell(f"# {name}\n\n{STARTED}", start)]
        for stem, chosen in parts.items():
            first, *others = cells_of[stem]
            named = f'__file__ = "{stem}.py"  # as results say which phase they are of'
            cells.append(ScriptCell(first.text, f"{named}\n{first.code}"))
            cells += others if chosen is None else [others[i - 1] for i in chosen]
        cells += [ScriptCell(*cell) for cell in BESIDE.get(name, [])]
        text = "The next notebook may begin, though this one's kernel lives on."
        cells.append(ScriptCell(text, "phase.close()"))
        notebook = new.new_notebook(metadata={"language_info": {"name": "python"}})
        for i, cell in enumerate(cells):  # with ids that are the same again
            text, code = f"{name}-{i}-text", f"{name}-{i}-code"
            notebook.cells.append(new.new_markdown_cell(cell.text, id=text))
            notebook.cells.append(new.new_code_cell(cell.code, id=code))
        written.append(folder / f"{name}.ipynb")
        with replacing(written[-1]) as temporary:
            temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
    return written


def execute(notebook: Path, target: Path, output: Path) -> str | None:
    """Run a notebook in a kernel of this Python, and save it with all it showed.

    What the kernel itself has to say goes to ``output``. Returns the error that ended
    the notebook, or None.
    """
    nbformat, nbclient = library("nbformat"), library("nbclient")
    specs = library("jupyter_client.kernelspec").KernelSpecManager(kernel_dirs=[])
    manager = library("jupyter_client.manager").AsyncKernelManager
    kernel = manager(kernel_spec_manager=specs)  # not one that a user registered
    content = nbformat.read(notebook, as_version=4)
    target.parent.mkdir(parents=True, exist_ok=True)
    where = {"metadata": {"path": str(target.parent)}}
    client = nbclient.NotebookClient(content, km=kernel, resources=where)
    failed = None
    try:
        with output.open("wb") as file:
            client.execute(stderr=file, cleanup_kc=True)  # the kernel ends here
    except nbclient.exceptions.CellExecutionError as error:
        failed = f"{error.ename}: {error.evalue}"
    except nbclient.exceptions.DeadKernelError:
        failed = f"the end of its kernel; see {str(output)!r}"
    with replacing(target) as temporary:
        temporary.write_text(nbformat.writes(content), encoding="utf-8")
    return failed


def library(name: str) -> Any:
    """Return a module of the extra ``notebooks``, or raise ImportError."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Notebooks of the study need the package {error.name!r}. Run: "
            'pip install "adlib-vision[notebooks]"'
        ) from error


def show_pictures(outputs: str) -> None:
    """Show, below each cell of this notebook, the pictures that it wrote, smaller."""
    ipython = library("IPython")

    def show(*_: Any) -> None:
        for path in new_pictures(Path(outputs), _shown):
            file, alt = io.BytesIO(), path.relative_to(outputs).with_suffix("")
            with Image.open(path) as image:
                width = round(SHOWN_AT * image.width)
                kept = round(KEPT_AT * image.width), round(KEPT_AT * image.height)
                image.convert("RGB").resize(kept).save(file, "JPEG", quality=85)
            shown = {"format": "jpeg", "width": width, "alt": alt.as_posix()}
            ipython.display.display(ipython.display.Image(file.getvalue(), **shown))

    new_pictures(Path(outputs), _shown)
    ipython.get_ipython().events.register("post_run_cell", show)


def new_pictures(folder: Path, seen: dict[Path, int]) -> list[Path]:
    """Return the pictures that were not ``seen``, as they were written; they are then.

    ``seen`` holds the time of each, in nanoseconds.
    """
    times = {path: path.stat().st_mtime_ns for path in folder.glob("**/*.png")}
    new = [path for path in times if seen.get(path) != times[path]]
    seen.update(times)
    return sorted(new, key=lambda path: (times[path], path.name))
