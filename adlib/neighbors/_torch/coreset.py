"""Greedy k-center with torch: the twin of ``_cpu.coreset`` for GPUs.

Same start, same tie rule, same blocks; but every point is brought up to date after
every block, since a GPU gains more from whole products than from skipping rows. The
host waits for the device three times a block of some hundred picks, never for each:
for the list of pairs to measure inside the block, for how many picks have led, and
(once for each tile of similarities) for the list of pairs to measure outside. All picks
of a block are one kernel where Triton runs (``kernels``), and three each elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Int64Array
from adlib.neighbors._points import Report
from adlib.neighbors._torch.bounds import Sketcher, Sketches
from adlib.neighbors._torch.distances import fused, pair_distances, to_device

BLOCK = 1024
STEPS = 64  # picks between two looks at whether the block still leads, if need be
SIMILARITIES_AT_ONCE = 2**27  # 512 MiB
SELECTED = -1.0


@undisturbed()
def select(
    points: Float32Array, size: int, start: int, report: Report, *, device: str
) -> Int64Array:
    """Select ``size`` points from ``start`` on; see ``greedy_coreset``."""
    rows = to_device(points, device)
    sketcher = Sketcher(rows)
    sketches = sketcher.sketch(rows)
    nearest = torch.full_like(sketches.norms, torch.inf)
    picks = torch.full((1,), start, dtype=torch.int64, device=device)
    picked = [picks]
    n_picked, n_expected = 1, STEPS
    _update(rows, sketcher, sketches, nearest, picks)
    report(1, _read(nearest.max().clamp(min=0.0).sqrt()[None])[0])
    while n_picked < size:
        picks, radius = _pick_block(
            rows, sketcher, sketches, nearest, size - n_picked, n_expected
        )
        _update(rows, sketcher, sketches, nearest, picks)
        picked.append(picks)
        n_picked += len(picks)
        n_expected = len(picks) + len(picks) // 8 + 1  # the next block is much like it
        report(len(picks), radius)
    selection: Int64Array = torch.cat(picked).cpu().numpy().astype(np.int64)
    return selection


def _update(
    rows: torch.Tensor,
    sketcher: Sketcher,
    sketches: Sketches,
    nearest: torch.Tensor,
    picks: torch.Tensor,
) -> None:
    """Update ``nearest`` of every point with ``picks``, and mark these as selected."""
    database = sketcher.as_database(sketches.part(picks))
    tile_rows = max(1, SIMILARITIES_AT_ONCE // len(picks))
    for first in range(0, len(rows), tile_rows):
        tile = slice(first, first + tile_rows)
        queries, values = sketches.part(tile), nearest[tile]
        similarities = sketcher.similarities(queries, database)
        # The most similar pick gives an upper bound: few others can be nearer.
        best, index = similarities.max(dim=1, keepdim=True)
        bounds = sketcher.upper_bounds(queries, database, index, best)[:, 0]
        thresholds = sketcher.pruning_thresholds(
            queries.norms, torch.minimum(values, bounds)
        )
        thresholds.masked_fill_(values <= 0.0, torch.inf)  # nothing is nearer than that
        i, j = torch.nonzero(similarities > thresholds[:, None]).unbind(dim=1)
        distances = pair_distances(rows[tile], i, rows, picks[j])
        values.scatter_reduce_(0, i, distances, "amin")
    nearest.index_fill_(0, picks, SELECTED)


def _pick_block(
    rows: torch.Tensor,
    sketcher: Sketcher,
    sketches: Sketches,
    nearest: torch.Tensor,
    n_wanted: int,
    n_expected: int,
) -> tuple[torch.Tensor, float]:
    """Return the picks of one block, in order, and the radius at the last."""
    block, limit, limit_index = _farthest(nearest)
    values = nearest[block]
    distances = _distances_inside(rows[block], sketcher, sketches.part(block), values)
    n_steps = min(n_wanted, len(block))
    given = distances, values, block, limit, limit_index, n_steps
    kernels = fused(rows.device)
    if kernels is None:
        picks, last = _pick_leading(*given, n_expected)
    else:
        picks, last = kernels.pick_leading(*given)
    return picks, math.sqrt(max(last, 0.0))


def _pick_leading(
    distances: torch.Tensor,
    values: torch.Tensor,
    block: torch.Tensor,
    limit: torch.Tensor,
    limit_index: torch.Tensor,
    n_steps: int,
    n_expected: int,
) -> tuple[torch.Tensor, float]:
    """Return the picks that lead, and the value of the last.

    The greedy runs ahead, and what it picked after the first that does not lead is
    thrown away: to look before each pick would let the host wait for each.
    """
    radii, places = values.new_empty(n_steps), block.new_empty(n_steps)
    done, ahead = 0, n_expected
    while True:
        steps = slice(done, min(done + ahead, n_steps))
        _pick_inside(distances, values, radii[steps], places[steps])
        done, ahead = steps.stop, STEPS
        order, at = block[places[:done]], radii[:done]
        leads = (at > limit) | ((at == limit) & (order < limit_index))
        n_leading = leads.cumprod(dim=0).sum()[None]
        n_led, last = _read(torch.cat([n_leading.double(), at[n_leading - 1]]))
        if n_led < done or done == n_steps:
            return order[: int(n_led)], last


def _pick_inside(
    distances: torch.Tensor,
    values: torch.Tensor,
    radii: torch.Tensor,
    places: torch.Tensor,
) -> None:
    """Run the textbook greedy on the block for as many steps as there are places.

    Nothing here may look at a number: the device must never wait for the host.
    """
    row = distances.new_empty((1, len(values)))
    steps = zip(radii[:, None].unbind(), places[:, None].unbind(), strict=True)
    for radius, place in steps:
        torch.max(values, dim=0, keepdim=True, out=(radius, place))
        torch.index_select(distances, 0, place, out=row)
        torch.minimum(values, row[0], out=values)


def _farthest(nearest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the farthest points, and the best value and index left out.

    The points come in ascending order; nothing here waits for the device.
    """
    n_points = len(nearest)
    indices = torch.arange(n_points, device=nearest.device)
    if n_points <= BLOCK:
        return indices, nearest.new_full((), -torch.inf), indices[-1] + 1
    limit = torch.topk(nearest, BLOCK + 1).values[-1]
    above, level = nearest > limit, nearest == limit
    kept = above | (level & (level.cumsum(dim=0) <= BLOCK - above.sum()))
    # The kept points are as many as the block has places; all others share one more.
    places = torch.where(kept, kept.cumsum(dim=0) - 1, BLOCK)
    block = indices.new_empty(BLOCK + 1).scatter_(0, places, indices)[:BLOCK]
    return block, limit, torch.where(level & ~kept, indices, n_points).min()


def _distances_inside(
    rows: torch.Tensor, sketcher: Sketcher, sketches: Sketches, values: torch.Tensor
) -> torch.Tensor:
    """Return what the greedy needs of all squared distances among rows, in float64.

    Left infinite where neither row could lower the other's value; on the diagonal
    stands what a value becomes when its row is picked.
    """
    n_rows = len(rows)
    similarities = sketcher.similarities(sketches, sketcher.as_database(sketches))
    largest = torch.maximum(values[:, None], values)
    passed = similarities > sketcher.pruning_thresholds(
        sketches.norms[:, None], largest
    )
    passed &= largest > 0.0
    i, j = torch.nonzero(passed.triu(diagonal=1)).unbind(dim=1)
    exact = pair_distances(rows, i, rows, j)
    distances = values.new_full((n_rows, n_rows), torch.inf)
    distances[i, j] = exact
    distances[j, i] = exact
    return distances.fill_diagonal_(SELECTED)


def _read(numbers: torch.Tensor) -> list[float]:
    """Wait for the device and return its numbers."""
    values: list[float] = numbers.tolist()
    return values
