"""Greedy coresets: adlib, anomalib's ``KCenterGreedy``, the textbook loop in torch.

The two slow ones are timed for a few picks, without and with what they do before the
first, and scaled to all of them.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from _clock import alternate, compared
from _work import tile_embeddings, widened
from anomalib.models.components import KCenterGreedy

from adlib.neighbors import greedy_coreset

ROUNDS, FEW, MANY = 5, 5, 35


def measure(data: Path) -> list[dict]:
    grids = tile_embeddings(data)
    narrow = grids.reshape(-1, grids.shape[-1])
    results = _compare(narrow, len(narrow) // 20, "5 %")
    wide = widened(grids[:209], 1536).reshape(-1, 1536)
    return results + _compare(wide, len(wide) // 10, "10 %, no projection in adlib")


def _compare(X: np.ndarray, size: int, share: str) -> list[dict]:
    tensor = torch.from_numpy(X)
    seconds = alternate(
        ROUNDS,
        adlib=lambda: greedy_coreset(X, size, start=0, device="cpu"),
        anomalib=lambda: _scaled(_anomalib, tensor, size),
        textbook=lambda: _scaled(_textbook, tensor, size),
    )
    task = f"coreset, {X.shape[0]:,} x {X.shape[1]:,}, {share}"
    return compared(task, seconds, picks=size, scaled_from=MANY - FEW)


def _scaled(select, X: torch.Tensor, size: int) -> float:
    """Return the seconds of ``size`` picks, from those of few and of many."""
    taken = []
    for n_picks in (FEW, MANY):
        started = time.perf_counter()
        select(X, n_picks)
        taken.append(time.perf_counter() - started)
    a_pick = (taken[1] - taken[0]) / (MANY - FEW)
    return taken[0] + (size - FEW) * a_pick


def _anomalib(X: torch.Tensor, n_picks: int) -> None:
    sampler = KCenterGreedy(embedding=X, sampling_ratio=(n_picks + 0.5) / len(X))
    assert sampler.coreset_size == n_picks
    sampler.select_coreset_idxs()


def _textbook(X: torch.Tensor, n_picks: int) -> None:
    """Pick the farthest point, one pass over all points a pick."""
    picked = 0
    nearest = torch.full((len(X),), torch.inf)
    for _ in range(n_picks):
        nearest = torch.minimum(nearest, torch.linalg.norm(X - X[picked], dim=1))
        picked = int(torch.argmax(nearest))
