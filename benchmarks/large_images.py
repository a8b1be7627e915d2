"""Time and peak memory of large images, as a whole and by tiles.

    python benchmarks/large_images.py [--sizes 2048x2048 3072x4096]

Two made images are fitted and scored by PatchCore with its default backbone, in a new
process for each row, so that its peak of memory is its own. One or two minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import product

import numpy as np

COUNT, ENTRIES = 2, 500
WAYS = ("whole", "tiles")


def measure(size: tuple[int, int], way: str) -> dict[str, float]:
    """Return seconds and gigabytes of one fit and one score."""
    from adlib import PatchCore
    from adlib.features import _backbone

    if way == "whole":
        _backbone.MOST_PIXELS = size[0] * size[1]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (COUNT, size[0] // 16, size[1] // 16, 3), np.uint8)
    images = coarse.repeat(16, axis=1).repeat(16, axis=2)
    model = PatchCore(image_size=size, coreset=ENTRIES, device="cpu", progress=False)
    times = [time.perf_counter()]
    model.fit(images)
    times.append(time.perf_counter())
    scores = model.score(images)
    times.append(time.perf_counter())
    fit, score = np.diff(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"fit": fit, "score": score, "peak": peak, "first": float(scores[0])}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["2048x2048", "3072x4096"])
    parser.add_argument("--way", choices=WAYS, help="one row, as JSON")
    given = parser.parse_args()
    if given.way:
        height, width = map(int, given.sizes[0].split("x"))
        print(json.dumps(measure((height, width), given.way)))
        return
    print("| image_size | computed | fit, s | score, s an image | peak, GB | score |")
    print("|---|---|---|---|---|---|")
    for size, way in product(given.sizes, WAYS):
        command = [sys.executable, __file__, "--sizes", size, "--way", way]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        row = json.loads(run.stdout)
        print(
            f"| {size} | {way} | {row['fit']:.1f} | {row['score'] / COUNT:.2f} | "
            f"{row['peak']:.2f} | {row['first']:.6f} |"
        )


if __name__ == "__main__":
    main()
