"""Change the code in small ways, one at a time, and see whether its tests notice.

    pip install cosmic-ray
    python -m tests.mutation neighbors/_points --mutants 20
    python -m tests.mutation metrics estimators neighbors --seed 0

cosmic-ray makes the mutants; it cannot draw a sample, and does not know that numba
caches what it compiled. Here a seeded sample is drawn of each module, at most one
mutant a place, and each runs in a copy of the tree, with an empty cache, against
``tests/ROOM/test_MODULE.py`` (else all tests of the room) and the module's doctests. A
mutant that survives changes nothing that can be noticed, or a test is missing.

Annotations, decorators and errors' messages are not changed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ADLIB = ROOT / "adlib"


def mutants(source: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Return (operator, occurrence) of all mutants, by their place in a source."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    left_out, nodes = (
        list(untested(ast.parse(source))),
        list(ast_nodes(get_ast(source))),
    )
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in operator_names():
        operator = get_operator(name)
        if not operator.arguments():
            spans = [s for node in nodes for s in operator().mutation_positions(node)]
            for occurrence, (start, _) in enumerate(spans):
                if not any(first <= start < last for first, last in left_out):
                    found.setdefault(start, []).append((name, occurrence))
    return found


def untested(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where annotations, decorators and errors' messages begin and end."""
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += getattr(node, "decorator_list", [])
        parts += [node.exc] if isinstance(node, ast.Raise) else []
        parts += [node] if isinstance(node, ast.JoinedStr) else []
        for part in filter(None, parts):
            end = part.end_lineno, part.end_col_offset
            yield (part.lineno, part.col_offset), end


def mutated(source: str, operator: str, occurrence: int) -> str | None:
    """Return the changed source, or None where Python sees no change or no Python."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed = mutate_code(source, get_operator(operator)(), occurrence)
    try:
        same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    return None if same else changed


def verdict(module: Path, tree: Path, seconds: float) -> str:
    """Run a module's tests in a copy of the tree, and say how that ended."""
    test = Path("tests", module.parent, f"test_{module.stem.removeprefix('_')}.py")
    tests = test if (tree / test).is_file() else Path("tests", module.parts[0])
    with tempfile.TemporaryDirectory() as cache:
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-n0",
                    "-m",
                    "",
                    "-x",
                    "-q",
                    tests,
                    f"adlib/{module}",
                ],
                cwd=tree,
                env=os.environ | {"PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": cache},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return "timed out"
    return "survived" if done.returncode == 0 else "killed"


def modules(place: str) -> list[Path]:
    """Return the modules that a package or a module names, relative to ``adlib``."""
    path = ADLIB / place
    found = [*path.rglob("_*.py"), *path.parent.glob(f"{path.name}.py")]
    if not found:
        raise SystemExit(f"There is no package and no module {place!r} in adlib.")
    return sorted(one.relative_to(ADLIB) for one in found if one.stem != "__init__")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", help="packages, or modules (ROOM/_MODULE)")
    parser.add_argument("--mutants", type=int, default=5, help="drawn of each module")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="adlib-mutation-") as folder:
        tree = Path(folder, "tree")
        ignored = shutil.ignore_patterns(
            "__pycache__", ".*", "outputs", "env", "_build"
        )
        shutil.copytree(ROOT, tree, ignore=ignored)
        for module in [one for place in options.places for one in modules(place)]:
            path, source = tree / "adlib" / module, (ADLIB / module).read_text("utf-8")
            began = time.monotonic()
            if verdict(module, tree, 3600) != "survived":
                raise SystemExit(f"{module}: the unchanged tests fail.")
            seconds = 60 + 4 * (time.monotonic() - began)
            generator, places = (
                random.Random(f"{options.seed} {module}"),
                mutants(source),
            )
            drawn = generator.sample(sorted(places), min(options.mutants, len(places)))
            for place in drawn:
                changed = mutated(source, *generator.choice(places[place]))
                if changed is not None:
                    path.write_text(changed, encoding="utf-8")
                    ended = verdict(module, tree, seconds)
                    counts[ended] += 1
                    print(f"{ended}: {module}:{place[0]}")
                    lines = difflib.ndiff(source.splitlines(), changed.splitlines())
                    print(
                        *(x for x in lines if x[:2] in ("- ", "+ ")),
                        sep="\n",
                        flush=True,
                    )
            path.write_text(source, encoding="utf-8")
    print(", ".join(f"{n} {ended}" for ended, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
