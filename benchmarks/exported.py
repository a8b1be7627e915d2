"""An exported detector beside its original, over all test images of a class.

    python benchmarks/exported.py ROOT/screw [--only "PatchCore, paper" ...]

Each model is fitted on the training images and calibrated on the fifth of them that is
held out; test images choose nothing. Score differences are relative to the score, map
differences to the highest value of all maps. "ms" are for one decoded image a call, the
least of several in turn: of the detector in torch, and of the exported file; "load" is
the exported file's. Run nothing else meanwhile; ``--only`` runs some of the models.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from adlib import PaDiM, PatchCore, runtime
from adlib.export._check import compare
from adlib.thresholds import plan_calibration

MODELS = {
    "PatchCore, concat": lambda: PatchCore(progress=False),
    "PatchCore, paper": lambda: PatchCore(embedding="paper", progress=False),
    "PatchCore, reweighted": lambda: PatchCore(
        aggregation="reweighted", progress=False
    ),
    "PatchCore, max": lambda: PatchCore(aggregation="max", progress=False),
    "PaDiM": lambda: PaDiM(progress=False),
}
REDUCED = {"PatchCore, concat": ("float16", "int8")}
ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
HEADS = ["model", "precision", "runtime", "score differs by", "map differs by"]
HEADS += ["flipped verdicts", "torch ms", "exported ms", "load s"]
HEADS += ["ONNX MB", "model file MB"]
CHECKED, ROUNDS = 20, 15


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a class in MVTec AD's layout")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    good = sorted((arguments.folder / "train/good").iterdir())
    tests = sorted((arguments.folder / "test").glob("*/*"))
    print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|", flush=True)
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            _print(name, good, tests, Path(folder))


def _print(name: str, good: list[Path], tests: list[Path], folder: Path) -> None:
    """Print the rows of one model."""
    plan = plan_calibration(len(good))
    train = [good[i] for i in plan.training]
    model = MODELS[name]().fit(train)
    held_out = [good[i] for i in plan.held_out]
    model.calibrate(held_out, false_positive_rate=plan.false_positive_rate)
    model.save(folder / "model.adlib")
    results = list(model.inspect(tests))  # once for all files
    known = SimpleNamespace(threshold_=model.threshold_, inspect=lambda _: results)
    for precision in ("float32", *REDUCED.get(name, ())):
        path = folder / f"{precision}.onnx"
        model.export(path, images=train[:CHECKED], precision=precision)
        for engine, engine_name in ENGINES.items():
            begun = time.perf_counter()
            exported = runtime.load(path, runtime=engine)
            load = time.perf_counter() - begun
            found = compare(known, exported, tests, None)
            image = np.asarray(Image.open(tests[0]))[None]
            torch_ms, ms = _least_ms(
                lambda image=image: list(model.inspect(image)),
                lambda image=image, exported=exported: list(exported.inspect(image)),
            )
            tied = f" ({found.n_tied} tied)" if found.n_tied else ""
            cells = [name, precision, engine_name, f"{found.score:.1e}"]
            cells += [f"{found.map:.1e}", f"{found.n_flipped} of {len(tests)}{tied}"]
            cells += [f"{torch_ms:.1f}", f"{ms:.1f}", f"{load:.2f}"]
            cells += [_megabytes(path), _megabytes(folder / "model.adlib")]
            print(f"| {' | '.join(cells)} |", flush=True)


def _least_ms(*calls: Callable[[], object]) -> list[float]:
    """Return the least milliseconds of each call, made in turn."""
    least = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for i, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            least[i] = min(least[i], 1e3 * (time.perf_counter() - begun))
    return least


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


if __name__ == "__main__":
    main()
