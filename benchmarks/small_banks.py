"""Search of small banks and few queries beside FAISS's flat index.

    python benchmarks/small_banks.py

Random normal rows of 152 features; one neighbour, both with all threads; milliseconds,
the least of 100 calls in five turns, adlib and FAISS alternating.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import faiss
import numpy as np

from adlib.neighbors import MemoryBank

ENTRIES, QUERIES, FEATURES = (10, 30, 100, 300, 1000), (1, 10, 100, 1000), 152
TURNS, CALLS = 5, 20


def least(call: Callable[[], object]) -> float:
    """Return the shortest time of some calls in milliseconds."""
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    print("| entries | queries | adlib | FAISS flat |\n|---|---|---|---|")
    for n_entries in ENTRIES:
        rows = rng.normal(size=(n_entries, FEATURES)).astype(np.float32)
        bank, index = MemoryBank(rows, device="cpu"), faiss.IndexFlatL2(FEATURES)
        index.add(rows)
        for n_queries in QUERIES:
            asked = rng.normal(size=(n_queries, FEATURES)).astype(np.float32)
            ways = [lambda: bank.kneighbors(asked), lambda: index.search(asked, 1)]  # noqa: B023
            turns = [[least(way) for way in ways] for _ in range(TURNS)]
            ours, theirs = np.min(turns, axis=0)
            print(f"| {n_entries:,} | {n_queries:,} | {ours:.3f} | {theirs:.3f} |")


if __name__ == "__main__":
    main()
