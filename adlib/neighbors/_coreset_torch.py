"""Greedy k-center with torch: the twin of ``_coreset_cpu`` for GPUs.

Same start, same tie rule, same blocks; but every point is brought up to date after
every block, since a GPU gains more from whole products than from skipping rows. The
host waits for the device three times a block of some hundred picks, never for each:
for the list of pairs to measure inside the block, for how many picks have led, and
(once for each tile of promises) for the list of pairs to measure outside.

What bounds it, for 163,856 x 1,536 and 16,385 picks on an H100 (`python
benchmarks/gpu_coreset.py`): 1.27 s in 29 blocks, 0.15 s of them the upload. Products
and memory at their ceilings would take 0.03 s. torch's profiler shows what takes the
rest: the picks, three kernels of 2 to 3 us each that the host launches in 7 us each,
and the pairs that are measured, in passes over float64 differences.
"""

from __future__ import annotations

import numpy as np
import torch

from adlib._torch import undisturbed
from adlib._typing import Int64Array
from adlib.neighbors._points import Points, Report
from adlib.neighbors._promises_torch import (
    Promises,
    Seekers,
    pair_distances,
    some,
    to_device,
)

BLOCK = 1024
STEPS = 64  # picks between two looks at whether the block still leads, if need be
PROMISES_AT_ONCE = 2**27  # 512 MiB
SELECTED = -1.0


@undisturbed()
def select_on_device(
    points: Points, size: int, start: int, report: Report, *, device: str
) -> Int64Array:
    """Select ``size`` points from ``start`` on; see ``greedy_coreset``."""
    rows = to_device(points.rows, device)
    promises = Promises(rows)
    seekers = promises.seekers(rows)
    nearest = torch.full_like(seekers.norms, torch.inf)
    picks = torch.full((1,), start, dtype=torch.int64, device=device)
    picked = [picks]
    n_picked, n_expected = 1, STEPS
    _lower(rows, promises, seekers, nearest, picks)
    report(1, _read(nearest.max().clamp(min=0.0).sqrt()[None])[0])
    while n_picked < size:
        picks, radius = _pick_block(
            rows, promises, seekers, nearest, size - n_picked, n_expected
        )
        _lower(rows, promises, seekers, nearest, picks)
        picked.append(picks)
        n_picked += len(picks)
        n_expected = len(picks) + len(picks) // 8 + 1  # the next block is much like it
        report(len(picks), radius)
    selection: Int64Array = torch.cat(picked).cpu().numpy().astype(np.int64)
    return selection


def _lower(
    rows: torch.Tensor,
    promises: Promises,
    seekers: Seekers,
    nearest: torch.Tensor,
    picks: torch.Tensor,
) -> None:
    """Lower ``nearest`` of every point by ``picks``, and mark these as selected."""
    members = some(seekers, picks)
    tile_rows = max(1, PROMISES_AT_ONCE // len(picks))
    for first in range(0, len(rows), tile_rows):
        tile = slice(first, first + tile_rows)
        here, values = some(seekers, tile), nearest[tile]
        promised = promises.of(here, members)
        # The best promise tells how near some pick is at most: few others beat that.
        best, place = promised.max(dim=1, keepdim=True)
        ceilings = promises.ceilings(here, members, place, best)[:, 0]
        bars = promises.bars(here.norms, torch.minimum(values, ceilings))
        bars.masked_fill_(values <= 0.0, torch.inf)  # nothing is nearer than that
        i, j = torch.nonzero(promised > bars[:, None]).unbind(dim=1)
        distances = pair_distances(rows[tile], i, rows, picks[j])
        values.scatter_reduce_(0, i, distances, "amin")
    nearest.index_fill_(0, picks, SELECTED)


def _pick_block(
    rows: torch.Tensor,
    promises: Promises,
    seekers: Seekers,
    nearest: torch.Tensor,
    n_wanted: int,
    n_expected: int,
) -> tuple[torch.Tensor, float]:
    """Return the picks of one block, in order, and the radius at the last."""
    block, limit, limit_index = _farthest(nearest)
    values = nearest[block]
    among = _distances_inside(rows[block], promises, some(seekers, block), values)
    n_steps = min(n_wanted, len(block))
    heights, places = values.new_empty(n_steps), block.new_empty(n_steps)
    done, ahead = 0, n_expected
    while True:
        some_steps = slice(done, min(done + ahead, n_steps))
        _pick_inside(among, values, heights[some_steps], places[some_steps])
        done, ahead = some_steps.stop, STEPS
        order, at = block[places[:done]], heights[:done]
        leads = (at > limit) | ((at == limit) & (order < limit_index))
        n_leading = leads.cumprod(dim=0).sum()[None]
        last = at[n_leading - 1].clamp(min=0.0).sqrt()
        n_led, radius = _read(torch.cat([n_leading.double(), last]))
        if n_led < done or done == n_steps:
            return order[: int(n_led)], radius


def _pick_inside(
    among: torch.Tensor,
    values: torch.Tensor,
    heights: torch.Tensor,
    places: torch.Tensor,
) -> None:
    """Run the textbook greedy on the block for as many steps as there are places.

    Nothing here may look at a number: the device must never wait for the host.
    """
    row = among.new_empty((1, len(values)))
    steps = zip(heights[:, None].unbind(), places[:, None].unbind(), strict=True)
    for height, place in steps:
        torch.max(values, dim=0, keepdim=True, out=(height, place))
        torch.index_select(among, 0, place, out=row)
        torch.minimum(values, row[0], out=values)


def _farthest(nearest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the farthest points, and the best value and index left out.

    The points come in ascending order; nothing here waits for the device.
    """
    n_points = len(nearest)
    everybody = torch.arange(n_points, device=nearest.device)
    if n_points <= BLOCK:
        return everybody, nearest.new_full((), -torch.inf), everybody[-1] + 1
    limit = torch.topk(nearest, BLOCK + 1).values[-1]
    above, level = nearest > limit, nearest == limit
    kept = above | (level & (level.cumsum(dim=0) <= BLOCK - above.sum()))
    # The kept points are as many as the block has places; all others share one more.
    places = torch.where(kept, kept.cumsum(dim=0) - 1, BLOCK)
    block = everybody.new_empty(BLOCK + 1).scatter_(0, places, everybody)[:BLOCK]
    return block, limit, torch.where(level & ~kept, everybody, n_points).min()


def _distances_inside(
    rows: torch.Tensor, promises: Promises, seekers: Seekers, values: torch.Tensor
) -> torch.Tensor:
    """Return what the greedy needs of all squared distances among rows, in float64.

    Left infinite where neither row could lower the other's value; on the diagonal
    stands what a value becomes when its row is picked.
    """
    n_rows = len(rows)
    promised = promises.of(seekers, seekers)
    highest = torch.maximum(values[:, None], values)
    needed = promised > promises.bars(seekers.norms[:, None], highest)
    needed &= highest > 0.0
    i, j = torch.nonzero(needed.triu(diagonal=1)).unbind(dim=1)
    distances = pair_distances(rows, i, rows, j)
    among = values.new_full((n_rows, n_rows), torch.inf)
    among[i, j] = distances
    among[j, i] = distances
    return among.fill_diagonal_(SELECTED)


def _read(numbers: torch.Tensor) -> list[float]:
    """Wait for the device and return its numbers."""
    values: list[float] = numbers.tolist()
    return values
