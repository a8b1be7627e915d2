"""The exact search on a GPU, beside a plain float32 product on the same GPU.

    python benchmarks/gpu_search.py

The patches of 32 images ask a memory bank for their nearest entry, at several sizes.
Queries start and answers end on the CPU for all ways: adlib's, the same by torch's
operators without Triton's kernels, and the plain one. The plain way is what other
libraries do, tile by tile: a float32 product (no TF32), then the smallest; right up
to rounding, and how many of its first answers float64 confirms is counted. The points
are made up: few strong directions and some noise, seeded.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

import numpy as np
import torch
from gpu_coreset import by_operators, kernels, product_ceiling, structured, timed

from adlib.neighbors import MemoryBank

QUERIES = 32 * 784
BANKS = (1_000, 5_000, 16_385, 100_000)
TILE = 2048
CHECKED = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        sys.exit("gpu_search: torch sees no CUDA device, so there is nothing to time")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {kernels()}")
    flops = product_ceiling()
    print(f"bfloat16 product: {flops / 1e12:.0f} TFLOP/s")
    points = structured(QUERIES + max(BANKS))
    for n_features in (152, 1536):
        X = np.ascontiguousarray(points[:, :n_features])
        for n_bank in BANKS:
            compare(X[:QUERIES], X[QUERIES : QUERIES + n_bank], rounds, flops)


def compare(queries: np.ndarray, bank: np.ndarray, rounds: int, flops: float) -> None:
    """Print what all ways take for one bank, and how often they are right."""
    ours, held = MemoryBank(bank, device="cuda"), torch.from_numpy(bank).cuda()

    def without_kernels() -> np.ndarray:
        with by_operators():
            return ours.kneighbors(queries, 1).indices[:, 0]

    ways = {
        "adlib": lambda: ours.kneighbors(queries, 1).indices[:, 0],
        "by torch's operators alone": without_kernels,
        "plain": lambda: plain(queries, held),
    }
    true = truth(queries[:CHECKED], bank)
    right = {name: int((way()[:CHECKED] == true).sum()) for name, way in ways.items()}
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    fast, alone, slow = (median(taken) for taken in seconds.values())
    floor = 2.0 * queries.size * len(bank) / flops
    print(
        f"{len(queries):,} x {len(bank):,}, d = {bank.shape[1]:,}: "
        f"adlib {1e3 * fast:.1f} ms, by torch's operators alone {1e3 * alone:.1f} ms, "
        f"plain {1e3 * slow:.1f} ms, "
        f"{slow / fast:.1f} times; product alone at the ceiling {1e3 * floor:.2f} ms; "
        f"as float64 says: {', '.join(map(str, right.values()))} of {CHECKED}",
        flush=True,
    )


def plain(queries: np.ndarray, bank: torch.Tensor) -> np.ndarray:
    """Return the nearest bank rows by a float32 product and the smallest."""
    norms = bank.square().sum(dim=1)
    places = []
    for first in range(0, len(queries), TILE):
        asked = torch.from_numpy(queries[first : first + TILE]).cuda()
        squared = torch.addmm(norms, asked, bank.T, alpha=-2.0)
        squared += asked.square().sum(dim=1, keepdim=True)
        places.append(squared.min(dim=1).indices)
    return torch.cat(places).cpu().numpy()


def truth(queries: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Return the nearest bank rows in float64, differences squared and summed."""
    rows = torch.from_numpy(bank).cuda().double()
    asked = torch.from_numpy(queries).cuda().double()
    return np.array([int((rows - q).square().sum(dim=1).argmin()) for q in asked])


if __name__ == "__main__":
    main()
