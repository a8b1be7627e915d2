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
from adlib.neighbors._points import Candidates, Report
from adlib.neighbors._torch.bounds import Sketcher, Sketches
from adlib.neighbors._torch.distances import fused, pair_distances, to_device

BLOCK = 1024
PICKS_AT_ONCE = 4096  # that a shard takes, however many a shard made again has missed
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


class Shard:
    """A part of the points of a selection over many shards: the twin of the CPU's."""

    def __init__(self, points: Float32Array, size: int, device: str) -> None:
        self._device = device
        self._rows = to_device(points, device)
        self._sketcher = Sketcher(self._rows)
        self._sketches = self._sketcher.sketch(self._rows)
        self._nearest = torch.full_like(self._sketches.norms, torch.inf)
        self.n_picked = 0

    @undisturbed()
    def take(self, rows: Float32Array, own: Int64Array) -> None:
        """Take the rows of the next picks; ``own`` are those among its points."""
        for first in range(0, len(rows), PICKS_AT_ONCE):
            picked = to_device(rows[first : first + PICKS_AT_ONCE], self._device)
            sketches = self._sketcher.sketch(picked)
            _measure(
                self._rows,
                self._sketcher,
                self._sketches,
                self._nearest,
                picked,
                sketches,
            )
        self._nearest.index_fill_(0, torch.from_numpy(own).to(self._device), SELECTED)
        self.n_picked += len(rows)

    @undisturbed()
    def farthest(self, count: int) -> Candidates:
        """Return the ``count`` farthest points that are not picked."""
        block, limit, limit_index = _farthest(self._nearest, count)
        indices, values = block.cpu().numpy(), self._nearest[block].cpu().numpy()
        last = float(limit), int(limit_index)
        return Candidates(indices, values, *last).unpicked()

    def rows(self, indices: Int64Array) -> Float32Array:
        """Return some of the points."""
        some = torch.from_numpy(indices).to(self._device)
        found: Float32Array = self._rows[some].cpu().numpy()
        return found


def _update(
    rows: torch.Tensor,
    sketcher: Sketcher,
    sketches: Sketches,
    nearest: torch.Tensor,
    picks: torch.Tensor,
) -> None:
    """Update ``nearest`` of every point with ``picks``, and mark these as selected."""
    picked, of_picked = rows[picks], sketches.part(picks)
    _measure(rows, sketcher, sketches, nearest, picked, of_picked)
    nearest.index_fill_(0, picks, SELECTED)


def _measure(
    rows: torch.Tensor,
    sketcher: Sketcher,
    sketches: Sketches,
    nearest: torch.Tensor,
    picked: torch.Tensor,
    of_picked: Sketches,
) -> None:
    """Update ``nearest`` of every point with the rows of picks, wherever these are."""
    database = sketcher.as_database(of_picked)
    tile_rows = max(1, SIMILARITIES_AT_ONCE // len(picked))
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
        distances = pair_distances(rows[tile], i, picked, j)
        values.scatter_reduce_(0, i, distances, "amin")


def _pick_block(
    rows: torch.Tensor,
    sketcher: Sketcher,
    sketches: Sketches,
    nearest: torch.Tensor,
    n_wanted: int,
    n_expected: int,
) -> tuple[torch.Tensor, float]:
    """Return the picks of one block, in order, and the radius at the last."""
    block, limit, limit_index = _farthest(nearest, BLOCK)
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


def _farthest(
    nearest: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the ``size`` farthest points, and the best value and index left out.

    The points come in ascending order; nothing here waits for the device.
    """
    n_points = len(nearest)
    indices = torch.arange(n_points, device=nearest.device)
    if n_points <= size:
        return indices, nearest.new_full((), -torch.inf), indices[-1] + 1
    limit = torch.topk(nearest, size + 1).values[-1]
    above, level = nearest > limit, nearest == limit
    kept = above | (level & (level.cumsum(dim=0) <= size - above.sum()))
    # The kept points are as many as the block has places; all others share one more.
    places = torch.where(kept, kept.cumsum(dim=0) - 1, size)
    block = indices.new_empty(size + 1).scatter_(0, places, indices)[:size]
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
