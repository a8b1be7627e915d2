"""Banks of fixed size that were learned in a stream, beside one fit of all images.

    python benchmarks/streams.py ROOT [--classes screw] [--images 192] [--coreset 2000]

ROOT holds classes in MVTec AD's layout. Training images, drawn at random, are given to
``fit``, or as an iterator to ``partial_fit``, which takes in 64 at a time, and for
comparison 16. Each way runs in a process of its own. The covering radius is measured:
the largest distance of any patch of these images to its nearest entry; the bound is
``covering_radius_``. Seconds are of processors, for learning alone; memory is the peak
above what the process takes before it. AUPRO is up to a false-positive rate of 0.3.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from options import read_data
from peers.memory import above_idle

from adlib import PatchCore
from adlib.estimators import _merging
from adlib.metrics import PixelCurves, compute_auroc

WAYS = {"fit": 0, "64 at a time": 64, "16 at a time": 16}
LIMIT = 0.3


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Learn in one way; return what it takes and finds."""
    data = read_data(given.root, given.classes[0], False)
    order = np.random.default_rng(0).permutation(len(data.learned))
    learned = [data.learned[i] for i in order[: given.images]]
    chosen = {"image_size": given.size, "device": "cpu", "progress": False}
    PatchCore(coreset=50, **chosen).fit(learned[:3]).score(learned[:1])  # compile
    model, at_once = PatchCore(coreset=given.coreset, **chosen), WAYS[given.way]
    _merging.IMAGES_AT_ONCE = at_once

    def learn() -> None:
        model.partial_fit(iter(learned)) if at_once else model.fit(learned)

    begun = time.process_time()
    peak = above_idle(learn)
    seconds = time.process_time() - begun
    rng = np.random.default_rng(1)
    kept = [  # of each label
        rng.permutation(np.flatnonzero(data.anomalous == label))[: given.test]
        for label in (False, True)
    ]
    kept = np.sort(np.concatenate(kept))
    results = list(model.inspect([data.tests[i] for i in kept]))
    masks, maps = [data.masks[i] for i in kept], [one.full_map() for one in results]
    auroc = compute_auroc(data.anomalous[kept], [one.score for one in results])
    model.set_params(aggregation="max")
    return {
        "radius": float(model.score(learned).max()),
        "bound": model.covering_radius_,
        "auroc": auroc,
        "aupro": PixelCurves.of(masks, maps).aupro(LIMIT),
        "seconds": seconds,
        "peak": peak,
        "images": len(model.training_images_),
        "n": [len(learned), model.n_patches_, len(kept)],
    }


def main() -> None:
    """Print a table for each class."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--images", type=int, help="to learn; default: all")
    parser.add_argument("--test", type=int, help="of each label; default: all")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--coreset", type=int, default=2000)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given)))
        return
    columns = ["data", "learned by", "covering radius", "bound", "image AUROC"]
    columns += ["AUPRO", "seconds", "memory, MB", "images with entries"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in given.classes:
        for way in WAYS:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            command += ["--classes", name]
            run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = json.loads(run.stdout)
            n_learned, n_patches, n_test = found["n"]
            cells = [
                f"{name}: {n_learned} images, {n_patches:,} patches; {n_test} tests",
                way,
                f"{found['radius']:.2f}",
                f"{found['bound']:.2f}",
                f"{found['auroc']:.4f}",
                f"{found['aupro']:.4f}",
                f"{found['seconds']:.1f}",
                f"{found['peak'] * 2**20 / 1e6:.0f}",
                str(found["images"]),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
