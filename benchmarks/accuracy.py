"""Image AUROC of the defaults on MVTec-layout classes and on solar cells.

    python benchmarks/accuracy.py --data ROOT screw magnetic_tile
    python benchmarks/accuracy.py --elpv mono poly

Learns ``train/good`` and scores every image of ``test``, as they are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from adlib import PatchCore
from adlib.study import run_demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("classes", nargs="*", help="classes under ROOT")
    parser.add_argument("--data", type=Path, help="ROOT of an MVTec-layout data set")
    parser.add_argument("--elpv", nargs="*", default=[], choices=["mono", "poly"])
    parser.add_argument("--seeds", type=int, default=1, help="elpv splits to average")
    arguments = parser.parse_args()
    print("data            learned  scored  image AUROC  fit s  score ms/image")
    for name in arguments.classes:
        root = arguments.data / name
        tests = sorted(path for path in (root / "test").rglob("*") if path.is_file())
        anomalous = np.array([path.parent.name != "good" for path in tests])
        model = PatchCore()
        started = time.perf_counter()
        model.fit(root / "train" / "good")
        fitted = time.perf_counter()
        scores = model.score(tests)
        per_image = (time.perf_counter() - fitted) / len(tests)
        auroc = roc_auc_score(anomalous, scores)
        n_learned = len(model.training_images_)
        _report(name, n_learned, len(tests), auroc, fitted - started, per_image)
    for kind in arguments.elpv:
        for seed in range(arguments.seeds):
            result = run_demo(PatchCore(), kind=kind, random_state=seed)
            n_scored = len(result.paths)
            per_image = result.score_seconds / n_scored
            name = f"elpv {kind} ({seed})"
            seconds = result.fit_seconds
            _report(name, result.n_training, n_scored, result.auroc, seconds, per_image)


def _report(
    name: str, n_learned: int, n_scored: int, auroc: float, fit: float, each: float
) -> None:
    counts = f"{name:15s} {n_learned:7d} {n_scored:7d}"
    print(f"{counts} {auroc:12.4f} {fit:6.1f} {1000 * each:15.0f}", flush=True)


if __name__ == "__main__":
    main()
