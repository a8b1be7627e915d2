"""PatchCore and PaDiM with their defaults: image AUROC, time, memory, model size.

    python benchmarks/accuracy.py ROOT

ROOT holds MVTec-layout classes; ``train/good`` is learned and every image of ``test``
scored, as they are. Solar cells come from the package elpv-dataset, split as the demo
does. Every row has a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peers.memory import above_idle
from sklearn.metrics import roc_auc_score

from adlib import PaDiM, PatchCore
from adlib.datasets import ANOMALOUS, elpv_samples
from adlib.datasets._elpv import split_cells

METHODS = {"PatchCore": PatchCore, "PaDiM": PaDiM}
CELLS = {"elpv-mono": "mono", "elpv-poly": "poly"}
DATA = ["screw", "magnetic_tile", "elpv-mono"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", nargs="*", default=DATA)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=42, help="of the cells' split")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        [name], [method] = arguments.data, arguments.methods
        answer, sys.stdout = sys.stdout, sys.stderr
        json.dump(measure(arguments.root, name, method, arguments.seed), answer)
        return
    columns = ["data", "method", "learned", "scored", "image AUROC", "fit"]
    columns += ["an image from its file", "peak of fit", "model"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for name in arguments.data:
        for method in arguments.methods:
            command = [sys.executable, __file__, arguments.root, "--one"]
            command += ["--data", name, "--methods", method]
            command += ["--seed", str(arguments.seed)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            cells = [name, method, *json.loads(done.stdout)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def measure(root: Path, name: str, method: str, seed: int) -> list:
    """Return the cells of one row, behind its names."""
    if name in CELLS:
        training, held_out = split_cells(elpv_samples(CELLS[name]), seed)
        learned = [cell.image_path for cell in training]
        tests = [cell.image_path for cell in held_out]
        anomalous = np.array([cell.label == ANOMALOUS for cell in held_out])
    else:
        learned = sorted((root / name / "train" / "good").iterdir())
        tests = sorted(p for p in (root / name / "test").rglob("*") if p.is_file())
        anomalous = np.array([path.parent.name != "good" for path in tests])
    kind = METHODS[method]
    kind(progress=False).fit(learned[:100]).score(learned[:1])  # load and compile all
    model = kind(progress=False)
    seconds = [time.perf_counter()]
    peak = above_idle(lambda: model.fit(learned))
    seconds.append(time.perf_counter())
    scores = model.score(tests)
    seconds.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        megabytes = path.stat().st_size / 1e6
    fit, score = np.diff(seconds)
    return [
        len(learned),
        len(tests),
        f"{roc_auc_score(anomalous, scores):.4f}",
        f"{fit:.1f} s",
        f"{1000 * score / len(tests):.0f} ms",
        f"{peak:.0f} MiB",
        f"{megabytes:.0f} MB",
    ]


if __name__ == "__main__":
    main()
