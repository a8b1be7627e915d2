"""Run a suite on a given number of threads, and leave things as they were."""

from __future__ import annotations

import os

import torch

THREADS = [1, 2, 4]
KEY = "OMP_NUM_THREADS"  # what adlib reads at every call
CORES = (
    len(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else os.cpu_count() or 1
)

_before: list[tuple[str | None, int]] = []


def use_threads(n_threads: int) -> None:
    """Give adlib's kernels and torch so many threads, until ``restore_threads``."""
    if n_threads > CORES:
        raise NotImplementedError(f"{n_threads} threads on {CORES} cores")
    _before.append((os.environ.get(KEY), torch.get_num_threads()))
    os.environ[KEY] = str(n_threads)
    torch.set_num_threads(n_threads)  # it read the variable when it was imported


def restore_threads() -> None:
    """Undo ``use_threads``; asv asks for it even where that raised."""
    if not _before:
        return
    asked, n_threads = _before.pop()
    if asked is None:
        del os.environ[KEY]
    else:
        os.environ[KEY] = asked
    torch.set_num_threads(n_threads)
