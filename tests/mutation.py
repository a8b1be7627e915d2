"""Change the code in small ways, one at a time, and see whether its tests notice.

    pip install cosmic-ray
    python -m tests.mutation metrics estimators neighbors --seed 0 --out mutants.jsonl
    python -m tests.mutation neighbors/_points --mutants 20
    python -m tests.mutation --again mutants.jsonl    # those that survived, once more

cosmic-ray makes the mutants. Of each module a seeded sample of places is drawn, and of
each place one of its mutants; each runs against the module's own tests (TESTS, else
``tests/ROOM/test_MODULE.py``) and its doctests, up to the first failure. A mutant is
killed, or timed out, or survives: then either it changes nothing that anyone could
notice, or a test is missing.

Docstrings, annotations, decorators and the messages of errors are left as they are: to
change them says nothing about the tests. So are the adapters of anomalib, whose tests
need an extra.

The mutants live in a copy of the tree under the temporary folder. Compiled kernels are
cached by source file, and hold what they inlined from others: before a mutant runs, the
kernels of its module and of all modules that import it, however far, leave the cache.
Each run is a fork of a process that has torch and its like imported, but nothing of
adlib. Needs a system that can fork.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("metrics", "estimators", "neighbors")
# Modules whose tests do not bear their name.
TESTS = {
    "metrics/_checks": ["aggregations", "thresholds", "breakdown", "image_metrics"],
    "metrics/_curves": ["thresholds", "image_metrics"],
    "metrics/_level_metrics": ["bootstrap", "paired_tests"],
    "metrics/_masked_maps": ["aupimo", "pixel_metrics"],
    "metrics/_order_statistics": ["pixel_thresholds"],
    "metrics/_pixel_counts": ["pixel_metrics"],
    "metrics/_probability_maps": ["probabilities"],
    "metrics/_resampling": ["bootstrap", "delong"],
    "metrics/_zone_thresholds": ["pixel_thresholds"],
    "estimators/_base": ["labels", "partial_fit", "../estimators_common"],
    "estimators/_calibration": ["../situations/thresholds"],
    "estimators/_gaussian_cpu": ["gaussian", "padim"],
    "estimators/_gaussian_fit": ["gaussian"],
    "estimators/_gaussian_torch": ["gaussian"],
    "estimators/_left_out": ["left_out", "../estimators_common"],
    "estimators/_mahalanobis": ["gaussian"],
    "estimators/_normal_images": ["patchcore", "../estimators_common"],
    "estimators/_results": ["patchcore"],
    "estimators/_saving": ["model_file", "loading"],
    "estimators/_scorers": ["../situations/scikit_learn"],
    "estimators/_settings": ["patches", "padim"],
    "neighbors/_cpu/database": ["bounds", "search", "coreset"],
    "neighbors/_cpu/filter": ["bounds", "search", "coreset"],
    "neighbors/_cpu/llvm": ["llvm", "distances"],
    "neighbors/_faiss/indexes": ["search_faiss"],
    "neighbors/_faiss/search": ["search_faiss", "search"],
    "neighbors/_torch/bounds": ["bounds", "search"],
}
# Imported once, before the forks; nothing of adlib may be among them.
HEAVY = (
    "faiss", "hypothesis", "numba", "openvino", "pytest", "rich.progress",
    "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.covariance",
    "sklearn.isotonic", "sklearn.linear_model", "sklearn.metrics",
    "sklearn.model_selection", "sklearn.pipeline", "timm", "torch", "torchvision",
)  # fmt: skip
MEMORY = 14 << 30  # bytes of address space: a mutant may ask for anything


class Mutant(NamedTuple):
    """One change of one module; cosmic-ray finds it by operator and occurrence."""

    module: str
    operator: str
    occurrence: int
    line: int


class Outcome(NamedTuple):
    """How a run ended, and the seconds that its processes and the clock spent."""

    verdict: str
    cpu: float
    wall: float
    reason: str


def source_of(module: str, root: Path = ROOT) -> Path:
    return root / "adlib" / f"{module}.py"


def tests_of(module: str) -> list[str]:
    room, *_, name = module.split("/")
    names = TESTS.get(module, [name.removeprefix("_")])
    files = [(ROOT / "tests" / room / n).resolve() for n in names]
    files = [str(f.with_name(f"test_{f.name}.py").relative_to(ROOT)) for f in files]
    return [*files, f"adlib/{module}.py"]


def mutants_of(module: str) -> dict[tuple[object, object], list[Mutant]]:
    """Return all mutants of a module by their place in the source."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = source_of(module).read_text(encoding="utf-8")
    left_out = list(_left_out(ast.parse(source)))
    tree, places = get_ast(source), {}
    for name in operator_names():
        operator = get_operator(name)
        if name.endswith("RemoveDecorator") or operator.arguments():
            continue
        found = (
            place
            for node in ast_nodes(tree)
            for place in operator().mutation_positions(node)
        )
        for occurrence, (start, end) in enumerate(found):
            if not any(first <= start < last for first, last in left_out):
                mutant = Mutant(module, name, occurrence, start[0])
                places.setdefault((start, end), []).append(mutant)
    return places


def _left_out(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where annotations, decorators and the messages of errors begin and end."""
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                parts = [*node.decorator_list, getattr(node, "returns", None)]
            case ast.arg() | ast.AnnAssign():
                parts = [node.annotation]
            case ast.Raise():
                parts = [node.exc]
            case ast.JoinedStr():
                parts = [node]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                parts = [node.test]
        for part in parts:
            if part is not None:
                yield (
                    (part.lineno, part.col_offset),
                    (part.end_lineno, part.end_col_offset),
                )


def draw(module: str, n: int, seed: int) -> list[Mutant]:
    """Draw up to ``n`` places of a module, and of each one mutant."""
    places = mutants_of(module)
    generator = random.Random(f"{seed} {module}")
    chosen = generator.sample(sorted(places), min(n, len(places)))
    return [generator.choice(places[place]) for place in chosen]


def change(mutant: Mutant) -> str | None:
    """Return the mutated source, or None where no test is needed to tell."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = source_of(mutant.module).read_text(encoding="utf-8")
    operator = get_operator(mutant.operator)()
    mutated = mutate_code(source, operator, mutant.occurrence)
    if mutated is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(mutated, "mutant", "exec")
    except SyntaxError:  # as of ``is "cpu"``: Python itself finds it
        return None
    same = ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(source))
    return None if same else mutated


def importers() -> dict[str, set[str]]:
    """Return for each module of adlib all that import it, however far."""
    uses: dict[str, set[str]] = {}
    for path in (ROOT / "adlib").rglob("*.py"):
        name = path.relative_to(ROOT / "adlib").with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            for used in names:
                if used.split(".")[0] == "adlib":
                    uses.setdefault(used.partition(".")[2].replace(".", "/"), set())
                    uses[used.partition(".")[2].replace(".", "/")].add(name)
    known: dict[str, set[str]] = {}
    for module in list(uses):
        reached, waiting = set(), [module]
        while waiting:
            for name in uses.get(waiting.pop().removesuffix("/__init__"), ()):
                if name not in reached:
                    reached.add(name)
                    waiting.append(name)
        known[module] = reached
    return known


class Bench:
    """A copy of the tree with a cache of compiled kernels, where mutants run."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.warm, self.cache = (
            folder / name for name in ("tree", "warm", "cache")
        )
        ignore = shutil.ignore_patterns("__pycache__", ".*", "outputs", "env")
        shutil.copytree(ROOT, self.tree, ignore=ignore)
        self.warm.mkdir()
        self.importers = importers()

    def warm_up(self, tests: list[str]) -> Outcome:
        """Run tests unchanged and keep the kernels that they compile."""
        return self._run(tests, self.warm, 3600, 3600)

    def run(self, mutant: Mutant, mutated: str, usual: Outcome) -> Outcome:
        """Run a mutant's tests, with a limit far above what they usually take."""
        stale = {mutant.module} | self.importers.get(mutant.module, set())
        stale = {"/".join(module.split("/")[-2:]) for module in stale}
        shutil.rmtree(self.cache, ignore_errors=True)
        shutil.copytree(self.warm, self.cache)
        for path in self.cache.rglob("*.nb?"):
            # FOLDER_HASH/MODULE.FUNCTION-LINE.VERSION.nbi
            folder, name = path.parent.name.rpartition("_")[0], path.name.split(".")[0]
            if f"{folder}/{name}" in stale:
                path.unlink()
        path = source_of(mutant.module, self.tree)
        kept = path.with_suffix(".kept")
        path.rename(kept)  # keeps its time, by which numba knows it
        try:
            path.write_text(mutated, encoding="utf-8")
            tests = tests_of(mutant.module)
            return self._run(
                tests, self.cache, 120 + 4 * usual.cpu, 300 + 4 * usual.wall
            )
        finally:
            kept.replace(path)

    def _run(self, tests: list[str], cache: Path, cpu: float, wall: float) -> Outcome:
        log = self.tree.parent / "log.txt"
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _become_pytest(self.tree, cache, tests, log, cpu)
        late = False
        while True:
            ended, status, usage = os.wait4(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - began > wall and not late:
                late = True
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.05)
        late |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
        verdict = "timed out" if late else "survived" if status == 0 else "killed"
        spent = usage.ru_utime + usage.ru_stime
        words = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = (
            [w for w in words if w.startswith(("FAILED", "ERROR"))]
            or words[-1:]
            or [""]
        )
        return Outcome(
            verdict, round(spent, 1), round(time.monotonic() - began, 1), told[0][:200]
        )


def _become_pytest(
    tree: Path, cache: Path, tests: list[str], log: Path, cpu: float
) -> None:
    """Turn this fork into a run of pytest in the copied tree; never return."""
    status = 70
    try:
        os.setsid()
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), int(cpu) + 10))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(tree)
        here = {"", str(ROOT)}
        sys.path[:] = [str(tree), *(p for p in sys.path if p not in here)]
        sys.dont_write_bytecode = True
        for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "adlib")]:
            del sys.modules[name]
        os.environ |= {
            "PYTHONPATH": str(tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(cache),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(cache / "hypothesis"),
        }
        import numba
        import pytest

        numba.config.CACHE_DIR = str(cache)
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # HEAVY is in
        status = int(pytest.main([*options, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="*", help="rooms, or modules (ROOM/_MODULE)")
    parser.add_argument("--mutants", type=int, default=5, help="drawn of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, help="a JSON line each; those there are done"
    )
    parser.add_argument("--again", type=Path, help="run the survivors of such a file")
    parser.add_argument("--list", action="store_true", help="only say what is drawn")
    arguments = parser.parse_args()

    if arguments.again:
        known = _read(arguments.again)
        drawn = [mutant for mutant in known if known[mutant] != "killed"]
    else:
        modules = [m for place in arguments.places or ROOMS for m in _modules(place)]
        samples = [draw(m, arguments.mutants, arguments.seed) for m in modules]
        # One of each module, then the next: a run that is cut short is even too.
        rounds = itertools.zip_longest(*samples)
        drawn = [mutant for mutants in rounds for mutant in mutants if mutant]
    if arguments.list:
        for mutant in drawn:
            print(*mutant)
        return
    if arguments.out and arguments.out.exists():
        known = set(_read(arguments.out))
        drawn = [mutant for mutant in drawn if mutant not in known]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in HEAVY:
            importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="adlib-mutation-") as folder:
        run_all(Bench(Path(folder)), drawn, arguments.out)


def _read(path: Path) -> dict[Mutant, str]:
    """Return the verdicts of the mutants of a file, the last of each."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {Mutant(*(x[f] for f in Mutant._fields)): x["verdict"] for x in lines}


def _modules(place: str) -> list[str]:
    if "/" in place:
        return [place.removesuffix(".py").removeprefix("adlib/")]
    paths = sorted((ROOT / "adlib" / place).rglob("*.py"))
    names = [p.relative_to(ROOT / "adlib").with_suffix("").as_posix() for p in paths]
    return [name for name in names if not name.endswith("/__init__")]


def run_all(bench: Bench, drawn: list[Mutant], out: Path | None) -> None:
    """Run each mutant, say how it ended, and count."""
    usual: dict[str, Outcome] = {}
    counts: Counter[str] = Counter()
    for mutant in drawn:
        mutated = change(mutant)
        if mutated is None:
            counts["no change"] += 1
            continue
        if mutant.module not in usual:
            usual[mutant.module] = bench.warm_up(tests_of(mutant.module))
            first = usual[mutant.module]
            print(f"{mutant.module}: tests take {first.cpu} s of CPU", flush=True)
            if first.verdict != "survived":
                raise SystemExit(f"The unchanged tests fail: {first.reason}")
        outcome = bench.run(mutant, mutated, usual[mutant.module])
        counts[outcome.verdict] += 1
        original = source_of(mutant.module).read_text(encoding="utf-8")
        changes = difflib.unified_diff(
            original.splitlines(), mutated.splitlines(), n=0, lineterm=""
        )
        changed = [line for line in changes if line[:3] not in ("---", "+++", "@@ ")]
        print(f"{outcome.verdict}: {mutant.module}:{mutant.line} {outcome.cpu} s")
        if outcome.verdict != "killed":
            print("\n".join(changed), flush=True)
        if out:
            line = mutant._asdict() | outcome._asdict() | {"change": changed}
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    print(", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
