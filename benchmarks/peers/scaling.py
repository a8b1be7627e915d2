"""How the core's time grows with the points, the coreset and the dimension.

An exponent is the slope of log time over log size, fitted over a range of 8 to 1 by
least squares; each point is the median of three runs in turn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _clock import alternate
from _work import tile_embeddings, widened

from adlib.neighbors import MemoryBank, greedy_coreset

ROUNDS = 3


def measure(data: Path) -> list[dict]:
    grids = tile_embeddings(data)
    X = grids.reshape(-1, 152)
    wide = widened(grids[:75], 1216).reshape(-1, 1216)
    chosen = greedy_coreset(X, 24_000, start=0, device="cpu")
    queries = X[-784:]

    def select(points: np.ndarray, size: int):
        return lambda: greedy_coreset(points, size, start=0, device="cpu")

    def search(rows: np.ndarray, asking: np.ndarray):
        bank = MemoryBank(rows, device="cpu")
        return lambda: [bank.kneighbors(asking) for _ in range(10)]

    def narrowed(n: int) -> np.ndarray:
        return np.ascontiguousarray(wide[:, :n])

    points = {
        n: select(X[:: 235_200 // n], 2940) for n in (29_400, 58_800, 117_600, 235_200)
    }
    both = {n: select(X[:: 235_200 // n], n // 20) for n in points}
    sizes = {n: select(X, n) for n in (2940, 5880, 11_760, 23_520)}
    widths = {d: select(narrowed(d), 2940) for d in (152, 304, 608, 1216)}
    banks = {n: search(X[chosen[:n]], queries) for n in (3000, 6000, 12_000, 24_000)}
    dimensions = {
        d: search(narrowed(d)[: 784 * 60 : 4], narrowed(d)[-784:])
        for d in (152, 304, 608, 1216)
    }
    return [
        _exponent("coreset, n_patches, 2,940 picks", points),
        _exponent("coreset, n_patches, 5 % of them", both),
        _exponent("coreset, picks, 235,200 patches", sizes),
        _exponent("coreset, dimension, 58,800 patches, 2,940 picks", widths),
        _exponent("search, bank size, 784 queries", banks),
        _exponent("search, dimension, 784 queries, bank of 11,760", dimensions),
    ]


def _exponent(what: str, calls: dict) -> dict:
    named = {str(size): call for size, call in calls.items()}
    seconds = alternate(ROUNDS, **named)
    medians = {int(size): float(np.median(taken)) for size, taken in seconds.items()}
    exponent = slope([*medians], [*medians.values()])
    return {"what": what, "seconds": medians, "exponent": exponent}


def slope(sizes: list[float], values: list[float]) -> float:
    """Return the exponent: the least-squares slope of log value over log size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
