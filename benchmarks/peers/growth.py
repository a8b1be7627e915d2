"""How time and memory of PatchCore grow with images, image size, coreset and threads.

One of them varies, the others keep what ``BASE`` says. Each point is a process of its
own, whose kernels are loaded before; a time is the shorter of two. "network", "embed"
and "select" are the stages of fit, timed by themselves; "score" takes 16 test images.
Memory is the peak of fit above the process before it. About six minutes on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from memory import above_idle
from scaling import slope

CORES = len(os.sched_getaffinity(0))
BASE = {"images": 40, "side": 320, "share": 0.05, "threads": CORES}
AXES = {
    "images": [20, 40, 80, 160],
    "side": [160, 224, 320, 448],
    "share": [0.0125, 0.025, 0.05, 0.1],
    "threads": [n for n in (1, 2, 4, 8, 16, 32) if n <= CORES],
}
ROUNDS, N_SCORED = 2, 16
# Exponents of the textbook algorithms: n images of s x s give n s^2 patches, of which
# the share r is kept, with products of all with all kept ones; threads divide the work.
THEORY = {
    "fit: network": {"images": 0, "side": 0, "share": 0, "threads": 0},
    "fit: embed": {"images": 1, "side": 2, "share": 0, "threads": -1},
    "fit: select": {"images": 2, "side": 4, "share": 1, "threads": -1},
    "fit": {"images": 2, "side": 4, "share": 1, "threads": -1},
    "score": {"images": 1, "side": 4, "share": 1, "threads": -1},
    "fit, peak MiB": {"images": 1, "side": 2, "share": 1, "threads": 0},
}


def measure(data: Path) -> list[dict]:
    points: dict[tuple, dict[str, float]] = {}
    results = []
    for axis, sizes in AXES.items():
        for size in sizes:
            point = {**BASE, axis: size}
            key = tuple(point.values())
            if key not in points:
                points[key] = _in_a_process(data, point)
        for what, theory in THEORY.items():
            found = {
                str(n): points[tuple({**BASE, axis: n}.values())][what] for n in sizes
            }
            results.append(
                {
                    "axis": axis,
                    "what": what,
                    "found": found,
                    "exponent": slope(sizes, [*found.values()]),
                    "theory": theory[axis],
                }
            )
    return results


def _in_a_process(data: Path, point: dict[str, float]) -> dict[str, float]:
    environment = os.environ | {"OMP_NUM_THREADS": str(point["threads"])}
    command = [sys.executable, __file__, str(data), json.dumps(point)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env=environment, text=True
    )
    return json.loads(done.stdout)


def _seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _point(data: Path, images: int, side: int, share: float) -> dict[str, float]:
    """Return the seconds and MiB of one point."""
    from _work import paths_in

    from adlib import PatchCore
    from adlib.features import Backbone
    from adlib.neighbors import greedy_coreset

    learned = paths_in(data / "screw" / "train" / "good", images)
    asked = paths_in(data / "screw" / "test")[:: 160 // N_SCORED]

    def new() -> PatchCore:
        return PatchCore(image_size=side, coreset=share, device="cpu", progress=False)

    model = new()
    model.fit(learned[:4]).score(asked[:4])
    peak = above_idle(lambda: model.fit(learned))
    embedded = [one.patches for one in model.embeddings(learned)]
    points = np.concatenate([one.reshape(-1, one.shape[-1]) for one in embedded])
    size = len(model.memory_bank_)
    return {
        "fit: network": _seconds(Backbone),
        "fit: embed": _seconds(lambda: list(model.embeddings(learned))),
        "fit: select": _seconds(
            lambda: greedy_coreset(points, size, random_state=0, device="cpu")
        ),
        "fit": _seconds(lambda: new().fit(learned)),
        "score": _seconds(lambda: model.score(asked)),
        "fit, peak MiB": peak,
    }


if __name__ == "__main__":
    answer, sys.stdout = sys.stdout, sys.stderr
    asked = json.loads(sys.argv[2])
    del asked["threads"]  # the environment's
    json.dump(_point(Path(sys.argv[1]), **asked), answer)
