"""Fit and score on a free machine and beside one busy process, and the search alone.

    python benchmarks/busy.py ROOT/screw

Run nothing else meanwhile; it takes one or two minutes. Times are the best of three.
To compare two commits, run it with PYTHONPATH at each checkout, several times in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from adlib import PatchCore

SIZE, COUNT = 320, 64  # 64 training images: 102,400 patches, of which a quarter is kept
SPIN = "while True: pass"


def best_ms(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the milliseconds of the quickest of some repeats."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a class in MVTec AD's layout")
    folder = parser.parse_args().folder
    train = sorted((folder / "train/good").iterdir())[:COUNT]
    test = sorted((folder / "test/good").iterdir())
    some = [np.asarray(Image.open(p).convert("RGB").resize((SIZE, SIZE))) for p in test]
    unfitted = PatchCore(coreset=0.25, image_size=SIZE, random_state=0, progress=False)
    model = unfitted.fit(train)
    works: dict[str, Callable[[], object]] = {
        f"fit, {len(train)} images (ms)": lambda: unfitted.fit(train),
        f"score, {len(test)} images (ms)": lambda: model.score(test),
        "score, ten calls of one decoded image (ms)": lambda: [
            model.score(image[None]) for image in some[:10]
        ],
        "score and map, the same (ms)": lambda: [
            list(model.inspect(image[None])) for image in some[:10]
        ],
    }
    model.score(test[:2])  # what is compiled once
    free = {name: best_ms(work) for name, work in works.items()}
    neighbour = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        busy = {name: best_ms(work) for name, work in works.items()}
    finally:
        neighbour.kill()
    for name in works:
        ratio = busy[name] / free[name]
        print(f"{name}: free {free[name]:.0f}, busy {busy[name]:.0f}, x {ratio:.2f}")
    bank, whole, alone = model.memory_bank_, 0.0, 0.0
    for image in model.embeddings(test):
        patches = image.patches.reshape(1, -1, image.patches.shape[-1])
        n_top = max(1, int(model.top_ratio * patches.shape[1]))
        whole += best_ms(partial(bank.kneighbors, patches[0])) / len(test)
        alone += best_ms(partial(bank.farthest, patches, n_top)) / len(test)
    print(f"search: all patches of an image {whole:.1f} ms, for its score {alone:.1f}")


if __name__ == "__main__":
    main()
