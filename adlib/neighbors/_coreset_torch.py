"""Greedy k-center with torch: the twin of ``_coreset_cpu`` for GPUs.

Same start, same tie rule, same blocks; but every point is brought up to date after
every block, since a GPU gains more from whole products than from skipping rows. The
host waits for the device once every few dozen picks, never for each.
"""

from __future__ import annotations

import numpy as np
import torch

from adlib._typing import Int64Array
from adlib.neighbors._points import Points, Report
from adlib.neighbors._promises_torch import (
    BYTES_AT_ONCE,
    Promises,
    pair_distances,
    squared_distances,
    to_device,
)

BLOCK = 1024
STEPS = 64  # picks between two looks at whether the block still leads
TILE_ROWS = 2**14
SELECTED = -1.0


@torch.inference_mode()
def select_on_device(
    points: Points, size: int, start: int, report: Report, *, device: str
) -> Int64Array:
    """Select ``size`` points from ``start`` on; see ``greedy_coreset``."""
    rows = to_device(points.rows, device)
    norms = to_device(points.norms, device)
    promises = Promises(rows, norms)
    nearest = torch.full_like(norms, torch.inf)
    picks = torch.tensor([start], device=device)
    picked = [picks]
    n_picked = 1
    _lower(promises, nearest, picks)
    report(1, float(nearest.max().clamp(min=0.0).sqrt()))
    while n_picked < size:
        picks, radius = _pick_block(rows, nearest, size - n_picked)
        _lower(promises, nearest, picks)
        picked.append(picks)
        n_picked += len(picks)
        report(len(picks), radius)
    selection: Int64Array = torch.cat(picked).cpu().numpy().astype(np.int64)
    return selection


def _lower(promises: Promises, nearest: torch.Tensor, picks: torch.Tensor) -> None:
    """Lower ``nearest`` of every point by ``picks``, and mark these as selected."""
    rows, norms = promises.rows, promises.norms
    for first in range(0, len(rows), TILE_ROWS):
        tile = slice(first, first + TILE_ROWS)
        promised = promises.of(rows[tile], picks)
        # The best promise first: it raises the bar, and few others still clear it.
        best, place = promised.max(dim=1)
        winners = torch.nonzero(best > promises.bars(norms[tile], nearest[tile])).T[0]
        distances = pair_distances(rows[tile], winners, rows, picks[place[winners]])
        lowered = torch.minimum(nearest[tile][winners], distances)
        nearest[tile].index_copy_(0, winners, lowered)
        bars = promises.bars(norms[tile], nearest[tile])
        members, columns = torch.nonzero(promised > bars[:, None]).T
        distances = pair_distances(rows[tile], members, rows, picks[columns])
        nearest[tile].scatter_reduce_(0, members, distances, "amin")
    nearest[picks] = SELECTED


def _pick_block(
    rows: torch.Tensor, nearest: torch.Tensor, n_wanted: int
) -> tuple[torch.Tensor, float]:
    """Return the picks of one block, in order, and the radius at the last."""
    block, limit, limit_index = _farthest(nearest)
    among = _distances_inside(rows[block])
    values = nearest[block].clone()
    places: list[torch.Tensor] = []
    at: list[torch.Tensor] = []
    n_steps = min(n_wanted, len(block))
    while True:
        for _ in range(min(STEPS, n_steps - len(places))):
            value, place = values.max(dim=0)
            places.append(place)
            at.append(value)
            values = torch.minimum(values, among[place])
            values[place] = SELECTED
        order, heights = block[torch.stack(places)], torch.stack(at)
        leads = (heights > limit) | ((heights == limit) & (order < limit_index))
        n_led = int(leads.cumprod(0).sum())
        if n_led < len(places) or len(places) == n_steps:
            return order[:n_led], float(heights[n_led - 1].clamp(min=0.0).sqrt())


def _farthest(nearest: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """Return the farthest points, and the best value and index left out."""
    if len(nearest) <= BLOCK:
        return torch.arange(len(nearest), device=nearest.device), -np.inf, len(nearest)
    limit = torch.topk(nearest, BLOCK + 1).values[-1]
    above = torch.nonzero(nearest > limit).T[0]
    level = torch.nonzero(nearest == limit).T[0]
    n_level = BLOCK - len(above)
    block = torch.cat([above, level[:n_level]]).sort().values
    return block, float(limit), int(level[n_level])


def _distances_inside(rows: torch.Tensor) -> torch.Tensor:
    """Return all squared distances among rows in float64."""
    n_rows, n_features = rows.shape
    distances = torch.empty(n_rows, n_rows, dtype=torch.float64, device=rows.device)
    at_once = max(1, BYTES_AT_ONCE // (8 * n_features * n_rows))
    for first in range(0, n_rows, at_once):
        some = rows[first : first + at_once]
        left, right = some.repeat_interleave(n_rows, dim=0), rows.repeat(len(some), 1)
        distances[first : first + at_once] = squared_distances(left, right).view(
            len(some), n_rows
        )
    return distances
