"""Split work over threads: how many, and which rows each takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, wait
from itertools import pairwise


def available_threads() -> int:
    """Return how many threads to use: ``OMP_NUM_THREADS``, else the cores allowed."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_in_slices(
    pool: Executor, n_slices: int, n_rows: int, work: Callable[[int, int], None]
) -> None:
    """Call ``work(first, last)`` for ``n_slices`` even slices of the rows, and wait.

    Which thread takes which slice cannot matter: a slice writes only its own rows.
    """
    if n_slices <= 1 or n_rows < n_slices:
        work(0, n_rows)
        return
    edges = [n_rows * part // n_slices for part in range(n_slices + 1)]
    futures = [pool.submit(work, first, last) for first, last in pairwise(edges)]
    wait(futures)
    for future in futures:
        future.result()
