"""Split work over threads: how many, and which rows each takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, wait
from itertools import pairwise

SLICES_PER_THREAD = 8  # so that a thread that is done early finds more to do


def available_threads() -> int:
    """Return how many threads to use: ``OMP_NUM_THREADS``, else the cores allowed."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_in_slices(
    pool: Executor,
    n_slices: int,
    n_rows: int,
    work: Callable[[int, int], None],
    *,
    grain: int = 1,
) -> None:
    """Call ``work(first, last)`` for even slices of the rows, and wait.

    Which thread takes which slice cannot matter: a slice writes only its own rows.

    Args:
        pool: The threads.
        n_slices: How many slices there are at most.
        n_rows: How many rows there are.
        work: What to do with the rows from first to before last.
        grain: All slices but the last hold a multiple of so many rows.
    """
    n_grains = -(-n_rows // grain)
    n_slices = min(n_slices, n_grains)
    if n_slices <= 1:
        work(0, n_rows)
        return
    edges = [n_grains * part // n_slices * grain for part in range(n_slices)]
    spans = pairwise([*edges, n_rows])
    futures = [pool.submit(work, first, last) for first, last in spans]
    wait(futures)
    for future in futures:
        future.result()
