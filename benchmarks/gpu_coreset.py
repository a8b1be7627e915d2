"""The greedy coreset on a GPU, beside what the same GPU can do at most.

    python benchmarks/gpu_coreset.py

First the GPU's selection from a smaller set, by Triton's kernels and by torch's
operators alone, is compared, index by index, with that of the CPU. Then 10 % of 163,856
x 1,536 float32 points (209 images at 224x224), without projection, are selected several
times, both ways in turn: the time counts the upload and the result's way back. The
floating-point operations and bytes that the method cannot do without are printed as
rates beside two ceilings measured in the same run: a large bfloat16 product and a large
copy. The textbook loop, one pass over all points a pick, is timed on the same GPU for
some hundred picks and scaled to all of them. The points are made up: few strong
directions and some noise, seeded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

import numpy as np
import torch

from adlib.neighbors import greedy_coreset

N_POINTS, N_FEATURES, RATIO, SUBSET = 163_856, 1536, 0.1, 20_000
RANK, NOISE = 96, 0.1
SIDE = 8192  # of the square matrices of the ceilings
BYTES_PER_SIMILARITY = 23  # written, lessened in place, and read for maximum and pairs
FEW, MANY = 20, 220  # picks of the textbook loop that are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu_coreset: torch sees no CUDA device, so there is nothing to time")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {kernels()}")
    X = structured(N_POINTS)
    check(X[:SUBSET])

    flops, copied = product_ceiling(), copy_ceiling()
    print(f"ceilings: {flops / 1e12:.0f} TFLOP/s bfloat16, {copied / 1e12:.2f} TB/s")
    size, blocks, seconds, without = int(len(X) * RATIO), [], [], []
    for _ in range(arguments.rounds):
        with by_operators():
            without.append(timed(lambda: select(X, size, [])))
        blocks.clear()
        torch.cuda.reset_peak_memory_stats()
        seconds.append(timed(lambda: select(X, size, blocks)))
        print(f"{len(X):,} x {X.shape[1]}, {size:,} picks: {seconds[-1]:.2f} s", end="")
        print(f", by torch's operators alone {without[-1]:.2f} s")
    took = median(seconds)
    print(f"median {took:.2f} s, {len(blocks)} blocks", end=", ")
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB", end=", ")
    print(f"by torch's operators alone {median(without):.2f} s")
    products = 2.0 * len(X) * size * X.shape[1]
    moved = BYTES_PER_SIMILARITY * len(X) * size + 2.0 * X.size * len(blocks)
    uploaded = timed(lambda: torch.from_numpy(X).cuda())
    print(f"products: {products / took / 1e12:.1f} TFLOP/s", end=", ")
    print(f"{products / took / flops:.1%} of the ceiling")
    print(f"memory: {moved / took / 1e12:.3f} TB/s", end=", ")
    print(f"{moved / took / copied:.1%} of the ceiling")
    print(f"roofline: {max(products / flops, moved / copied):.3f} s", end=", ")
    print(f"upload {uploaded:.2f} s, a pick {took / size * 1e6:.1f} us")
    slow = textbook_seconds(torch.from_numpy(X).cuda(), size)
    print(
        f"textbook loop in torch, scaled: {slow:.1f} s, {slow / took:.0f} times adlib's"
    )


def kernels() -> str:
    """Tell whether Triton's kernels are what is measured."""
    from adlib.neighbors._torch.distances import fused

    found = fused(torch.device("cuda", torch.cuda.current_device()))
    return "without Triton" if found is None else f"Triton {found.triton.__version__}"


@contextmanager
def by_operators() -> Iterator[None]:
    """Let torch's operators do what Triton's kernels do otherwise."""
    from adlib.neighbors._torch import coreset, distances

    with (
        patch.object(coreset, "fused", lambda device: None),
        patch.object(distances, "fused", lambda device: None),
    ):
        yield


def structured(n_points: int) -> np.ndarray:
    """Return points on a few directions of falling strength, far from the origin."""
    rng = np.random.default_rng(0)
    strength = 1.0 / np.sqrt(1.0 + np.arange(RANK, dtype=np.float32))
    directions = rng.standard_normal((RANK, N_FEATURES), dtype=np.float32)
    X = rng.standard_normal((n_points, RANK), dtype=np.float32) * strength @ directions
    for first in range(0, n_points, SUBSET):  # a part at a time, to spare memory
        shape = X[first : first + SUBSET].shape
        noise = rng.standard_normal(shape, dtype=np.float32)
        X[first : first + SUBSET] += NOISE * noise + 3.0
    return X


def check(X: np.ndarray) -> None:
    """Compare all ways index by index; stop where they differ."""
    size = int(len(X) * RATIO)
    on_gpu = greedy_coreset(X, size, start=0, device="cuda")
    with by_operators():
        alike = greedy_coreset(X, size, start=0, device="cuda")
    on_cpu = greedy_coreset(X, size, start=0, device="cpu")
    differing = np.flatnonzero((on_gpu != on_cpu) | (alike != on_cpu))
    if len(differing):
        sys.exit(f"gpu_coreset: the twins differ from pick {differing[0]} on")
    print(f"{size:,} of {len(X):,}: the GPU selects what the CPU selects, in order")


def select(X: np.ndarray, size: int, blocks: list[int]) -> None:
    """Select on the GPU, and note how many picks each block gave."""
    from adlib.neighbors._points import as_points
    from adlib.neighbors._torch import coreset

    points = as_points(X, "X", "gpu_coreset")

    def report(n_picked: int, radius: float) -> None:
        blocks.append(n_picked)

    coreset.select(points, size, 0, report, device="cuda")


def textbook_seconds(X: torch.Tensor, size: int) -> float:
    """Return the seconds of the textbook loop, scaled from some picks."""

    def pick(n_picks: int) -> None:
        nearest = X.new_full((len(X),), torch.inf)
        place = torch.zeros((), dtype=torch.int64, device=X.device)
        for _ in range(n_picks):
            nearest = torch.minimum(nearest, torch.linalg.norm(X - X[place], dim=1))
            place = nearest.argmax()

    pick(FEW)
    few, many = timed(lambda: pick(FEW)), timed(lambda: pick(MANY))
    return few + (size - FEW) * (many - few) / (MANY - FEW)


def product_ceiling() -> float:
    """Return the floating-point operations per second of a large bfloat16 product."""
    left, right = torch.randn(2, SIDE, SIDE, device="cuda").bfloat16()
    return 2.0 * SIDE**3 * 20 / best(lambda: [left @ right for _ in range(20)])


def copy_ceiling() -> float:
    """Return the bytes per second that a large copy reads and writes."""
    source = torch.zeros(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds = best(lambda: [target.copy_(source) for _ in range(20)])
    return 2.0 * len(source) * 20 / seconds


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few runs, the first not counted."""
    return min([timed(work) for _ in range(6)][1:])


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that work takes, the device's included."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
