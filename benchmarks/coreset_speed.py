"""The greedy coreset beside the textbook loop, on real patch embeddings.

    python benchmarks/coreset_speed.py ROOT/magnetic_tile/train/good

Takes 300 images at 224x224, selects 5 % of their patches, and times in the same run a
textbook greedy in torch (one pass over all points a pick), for 200 picks, scaled to all
of them. Both run in turn several times; the ratio is that of the medians. A subset of
20,000 points is selected by a plain float64 loop too, and compared index by index.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from adlib.features import Backbone, patch_embeddings
from adlib.images import open_source, read_batches
from adlib.neighbors import greedy_coreset

N_IMAGES, SIDE, RATIO, PICKS, SUBSET = 300, 224, 0.05, 200, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    X = embeddings(arguments.images)
    size = int(len(X) * RATIO)
    print(f"{X.shape[0]:,} x {X.shape[1]} embeddings, {size:,} picks")
    greedy_coreset(X[:3000], 100, start=0, device="cpu")  # compile
    fast, slow = [], []
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        greedy_coreset(X, size, start=0, device="cpu")
        fast.append(time.perf_counter() - started)
        started = time.perf_counter()
        textbook(torch.from_numpy(X), PICKS)
        slow.append((time.perf_counter() - started) * size / PICKS)
        print(f"adlib {fast[-1]:.2f} s, textbook {slow[-1]:.0f} s (scaled)", flush=True)
    print(f"median ratio: {median(slow) / median(fast):.0f}")
    subset = X[np.random.default_rng(0).permutation(len(X))[:SUBSET]]
    picks = greedy_coreset(subset, int(SUBSET * RATIO), start=0, device="cpu")
    same = np.array_equal(picks, obvious(subset, len(picks)))
    print(f"{len(picks):,} of {SUBSET:,}: equal to the slow twin, in order: {same}")


def embeddings(folder: Path) -> np.ndarray:
    """Return patch embeddings of the first images of a folder."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())[:N_IMAGES]
    backbone = Backbone()
    source = open_source(paths, "coreset_speed")
    parts = []
    for batch in read_batches(source, image_size=(SIDE, SIDE), batch_size=16):
        maps = backbone(torch.from_numpy(batch.images))
        parts.append(patch_embeddings(maps, "concat").numpy())
    joined = np.concatenate(parts)
    return joined.reshape(-1, joined.shape[-1])


def textbook(X: torch.Tensor, size: int) -> torch.Tensor:
    """Pick the farthest point, one pass over all points a pick."""
    picked = torch.zeros(size, dtype=torch.int64)
    nearest = torch.linalg.norm(X - X[0], dim=1)
    for k in range(1, size):
        picked[k] = torch.argmax(nearest)
        nearest = torch.minimum(nearest, torch.linalg.norm(X - X[picked[k]], dim=1))
    return picked


def obvious(X: np.ndarray, size: int) -> np.ndarray:
    """Do the same in float64, so that rounding cannot decide."""
    exact = X.astype(np.float64)
    picked = [0]
    nearest = ((exact - exact[0]) ** 2).sum(axis=1)
    for _ in range(1, size):
        picked.append(int(np.argmax(nearest)))
        away = ((exact - exact[picked[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, away)
    return np.array(picked)


if __name__ == "__main__":
    main()
