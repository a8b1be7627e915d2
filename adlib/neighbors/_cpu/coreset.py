"""Greedy k-center on the CPU: exact, in blocks, and lazy.

Values computed earlier are upper bounds now, since a point's distance to the selection
only shrinks. The ``BLOCK`` points with the largest bounds are brought up to date; picks
among them need only the block's own distances, until its best falls to the largest
bound outside, the *limit*. Other points are updated when their bound is among the
largest, with all picks since, in one product. ``docs/core.md`` says why it is exact.

In the words of ``filter``, the points are the queries, and the picks the database.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adlib._compile import compiled
from adlib._scratch import scratch_array
from adlib._threads import Threads, available_threads
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.bounds import (
    Sketcher,
    Sketches,
    half_norms,
    pruning_threshold,
)
from adlib.neighbors._cpu.database import (
    NO_GROUPS,
    Found,
    Queries,
    empty_database,
    empty_panels,
    fill,
)
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.filter import products, update_nearest
from adlib.neighbors._points import Candidates, Report

BLOCK = 2048  # candidates a round; their inner products take BLOCK^2 * 4 = 16 MiB
WIDENING = 4  # times as many points are updated, to be sure of the block
FIRST_ROWS = 2**18  # that are updated at once, where all are
SELECTED = -1.0  # the value of a selected point, under every squared distance


def select(
    points: Float32Array,
    size: int,
    start: int,
    report: Report,
    scratch: Path | None = None,
) -> Int64Array:
    """Select ``size`` points from ``start`` on; see ``greedy_coreset``."""
    selection = _Selection(points, size, scratch)
    selection.add(np.array([start]))
    selection.update_all()
    report(1, float(np.sqrt(selection.nearest.max(initial=0.0))))
    picked = [np.array([start])]
    while selection.n_picked < size:
        candidates = selection.farthest(BLOCK)
        picks, farthest = selection.pick_inside(candidates, size - selection.n_picked)
        selection.add(picks)
        picked.append(picks)
        report(len(picks), float(np.sqrt(farthest)))
    return np.concatenate(picked)


class Shard:
    """A part of the points of a selection that is made over many shards.

    ``neighbors._shards`` says what a shard is asked. ``n_picked`` is how many picks of
    all shards it knows; ``size`` how many there will be. It can be copied and pickled.
    """

    def __init__(
        self, points: Float32Array, size: int, scratch: Path | None = None
    ) -> None:
        self._selection = _Selection(points, size, scratch)

    @property
    def n_picked(self) -> int:
        """How many picks it knows."""
        return self._selection.n_picked

    def take(self, rows: Float32Array, own: Int64Array) -> None:
        """Take the rows of the next picks; ``own`` are those among its points."""
        first = self._selection.n_picked == 0
        self._selection.append(rows)
        self._selection.nearest[own] = SELECTED
        if first:  # no value says yet which points to update
            self._selection.update_all()

    def farthest(self, count: int) -> Candidates:
        """Return the ``count`` farthest points that are not picked."""
        return self._selection.farthest(count).unpicked()

    def rows(self, indices: Int64Array) -> Float32Array:
        """Return some of the points."""
        return self._selection.rows[indices]


class Picker:
    """Picks among candidates of any shards, as one selection does in its block."""

    def __init__(self, rows: Float32Array) -> None:
        """Fit bounds to some rows; they hold for any."""
        self._sketcher = Sketcher(rows)

    def pick_inside(
        self, rows: Float32Array, candidates: Candidates, n_wanted: int
    ) -> tuple[Int64Array, float]:
        """Return picks while a candidate is farthest of all, and the last's value."""
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            sketches = self._sketcher.sketch(rows, pool, n_threads)
        return _pick(self._sketcher, rows, sketches, candidates, n_wanted)


class _Selection:
    """What is selected so far, and an upper bound of each point's distance to it."""

    def __init__(self, points: Float32Array, size: int, scratch: Path | None) -> None:
        n_points, n_features = points.shape
        self._sketcher = Sketcher(points)
        words, norms = self._sketch(points, scratch)
        self._points = Queries(points, words, norms, NO_GROUPS)
        # In order of selection; the first n_picked count.
        picked_rows = scratch_array((size, n_features), np.float32, scratch)
        self._picks = empty_database(picked_rows, self._sketcher)
        self.n_picked = 0
        # Squared distance of each point to the first n_seen of them.
        self.nearest: Float64Array = scratch_array((n_points,), np.float64, scratch)
        self.nearest[:] = np.inf
        self.n_seen = scratch_array((n_points,), np.int32, scratch)
        self._nearest_picks = scratch_array((n_points, 1), np.int64, scratch)

    @property
    def rows(self) -> Float32Array:
        """The points."""
        return self._points.rows

    def add(self, picks: Int64Array) -> None:
        """Add some of the points to the selection."""
        self.append(self.rows[picks], self._sketches(picks))
        self.nearest[picks] = SELECTED

    def append(self, rows: Float32Array, sketches: Sketches | None = None) -> None:
        """Add any rows to the selection."""
        first, last = self.n_picked, self.n_picked + len(rows)
        if sketches is None:
            sketches = self._sketch(rows)
        self._picks.rows[first:last] = rows
        fill(self._picks.panels, first, sketches, self._sketcher)
        self.n_picked = last

    def update_all(self) -> None:
        """Bring ``nearest`` of all points up to date."""
        n_points = len(self.nearest)
        for first in range(0, n_points, FIRST_ROWS):
            self.update(np.arange(first, min(first + FIRST_ROWS, n_points)))

    def update(self, indices: Int64Array) -> None:
        """Bring ``nearest`` of some points up to date."""
        behind = self.n_seen[indices] < self.n_picked
        stale = indices[behind & (self.nearest[indices] != SELECTED)]
        seen = self.n_seen[stale]
        order = np.argsort(seen, kind="stable")  # a panel's points have seen as many
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            update_nearest(
                stale[order],
                seen[order].astype(np.int64),
                self._points,
                self._picks,
                self.n_picked,
                Found(self.nearest[:, None], self._nearest_picks),
                pool,
                n_threads,
            )
        self.n_seen[stale] = self.n_picked

    def farthest(self, count: int) -> Candidates:
        """Return the ``count`` farthest points; all their values are up to date."""
        n_points = len(self.nearest)
        width = WIDENING * count
        while True:
            wider, outside, _ = _farthest(self.nearest, width)
            self.update(wider)
            block, limit, limit_index = _farthest(self.nearest[wider], count)
            if limit > outside or width >= n_points:
                last = int(wider[limit_index]) if limit_index < len(wider) else n_points
                block = wider[block]
                return Candidates(block, self.nearest[block], limit, last)
            # Doubling needs few passes over the bounds, and updates few points in vain.
            width *= 2

    def pick_inside(
        self, candidates: Candidates, n_wanted: int
    ) -> tuple[Int64Array, float]:
        """Return picks while a candidate is farthest of all, and the last's value."""
        block = candidates.indices
        rows, sketches = self.rows[block], self._sketches(block)
        return _pick(self._sketcher, rows, sketches, candidates, n_wanted)

    def _sketch(self, rows: Float32Array, scratch: Path | None = None) -> Sketches:
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            return self._sketcher.sketch(rows, pool, n_threads, scratch)

    def _sketches(self, indices: Int64Array) -> Sketches:
        return Sketches(self._points.words[indices], self._points.norms[indices])


def _pick(
    sketcher: Sketcher,
    rows: Float32Array,
    sketches: Sketches,
    candidates: Candidates,
    n_wanted: int,
) -> tuple[Int64Array, float]:
    """Return picks while a candidate is farthest of all, and the last's value."""
    panels = empty_panels(len(rows), sketcher)
    fill(panels, 0, sketches, sketcher)
    picks: tuple[Int64Array, float] = _pick_inside(
        rows,
        products(sketches.words, panels.words, len(rows)),
        sketches.norms,
        half_norms(sketches.norms, sketcher.relative_error),
        candidates.values.copy(),
        candidates.indices,
        candidates.limit,
        candidates.limit_index,
        n_wanted,
        sketcher.relative_error,
    )
    return picks


def _farthest(nearest: Float64Array, size: int) -> tuple[Int64Array, float, int]:
    """Return the ``size`` farthest points, and the best value and index left out."""
    n_points = len(nearest)
    if size >= n_points:
        return np.arange(n_points), -np.inf, n_points
    limit = float(np.partition(nearest, n_points - size - 1)[n_points - size - 1])
    above = np.flatnonzero(nearest > limit)
    level = np.flatnonzero(nearest == limit)
    n_level = size - len(above)
    block = np.sort(np.concatenate([above, level[:n_level]]))
    return block, limit, int(level[n_level])


@compiled()
def _pick_inside(
    rows: Float32Array,
    products: Float32Array,
    norms: Float64Array,
    halves: Float32Array,
    nearest: Float64Array,
    block: Int64Array,
    limit: float,
    limit_index: int,
    n_wanted: int,
    relative_error: float,
) -> tuple[Int64Array, float]:  # pragma: no cover - compiled
    """Run the textbook greedy on the block until its best no longer beats the rest."""
    n_rows = len(block)
    thresholds = np.empty(n_rows)
    for j in range(n_rows):
        thresholds[j] = pruning_threshold(norms[j], nearest[j], relative_error)
    picks = np.empty(min(n_wanted, n_rows), np.int64)
    n_picks = 0
    farthest = 0.0
    while n_picks < len(picks):
        best = 0
        for j in range(1, n_rows):
            if nearest[j] > nearest[best]:
                best = j
        value = nearest[best]
        if value < limit or (value == limit and block[best] > limit_index):
            break
        picks[n_picks] = block[best]
        n_picks += 1
        farthest = value
        nearest[best] = SELECTED
        for j in range(n_rows):
            similarity = products[best, j] - halves[best]
            if similarity > thresholds[j] and nearest[j] > SELECTED:
                distance = squared_distance(rows[best], rows[j])
                if distance < nearest[j]:
                    nearest[j] = distance
                    thresholds[j] = pruning_threshold(
                        norms[j], distance, relative_error
                    )
    return picks[:n_picks], farthest
