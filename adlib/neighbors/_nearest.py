"""Let queries meet a tile of rows: promises propose, the fixed-order sum decides."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numba import njit

from adlib._threads import run_in_slices
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._distances import bar, squared_distance
from adlib.neighbors._products import Prepared, Promised
from adlib.neighbors._widen import widen

NOBODY = -1  # the place of a neighbour not found yet


class Seekers(NamedTuple):
    """Some queries, and the nearest rows they have found so far.

    Attributes:
        rows: (n_queries, n_features) float32.
        prepared: The same, as products take them.
        best: Squared distances, ascending, (n_queries, n_neighbors); written to.
        places: Whose distances these are, (n_queries, n_neighbors); written to.
    """

    rows: Float32Array
    prepared: Prepared
    best: Float64Array
    places: Int64Array


def keep_nearest(
    seekers: Seekers,
    promised: Promised,
    members: Float32Array,
    column: int,
    slack: float,
    pool: Executor,
    n_threads: int,
) -> None:
    """Update what the seekers have found by the members of a tile.

    Args:
        seekers: The queries.
        promised: What the members promise them.
        members: (n_members, n_features) float32.
        column: The place of the first member.
        slack: g of the promises.
        pool: Threads to use.
        n_threads: How many.
    """

    def meet(begin: int, end: int) -> None:
        mine = slice(begin, end)
        _keep_nearest(
            promised.promises[mine],
            promised.best[mine],
            seekers.rows[mine],
            seekers.prepared.norms[mine],
            members,
            column,
            seekers.best[mine],
            seekers.places[mine],
            slack,
        )

    run_in_slices(pool, n_threads, len(seekers.rows), meet)


@njit(cache=True, nogil=True)
def _keep_nearest(
    promises: AnyArray,
    best_promises: Float32Array,
    rows: Float32Array,
    norms: Float64Array,
    members: Float32Array,
    column: int,
    best: Float64Array,
    places: Int64Array,
    relative_slack: float,
) -> None:  # pragma: no cover - compiled
    """Keep the nearest bank rows of a tile, sorted by distance, then by index."""
    n_queries, n_members = promises.shape
    last = best.shape[1] - 1
    wide = np.empty(n_members, np.float32)
    hopeful = np.empty(n_members + 1, np.int64)
    for i in range(n_queries):
        threshold = bar(norms[i], best[i, last], relative_slack)
        if not best_promises[i] > threshold:
            continue
        widen(promises[i], wide)
        n_hopeful = 0
        for j in range(n_members):
            hopeful[n_hopeful] = j
            n_hopeful += wide[j] > threshold
        # The best promise first: it raises the bar, and few others still clear it.
        for is_best in (True, False):
            for k in range(n_hopeful):
                j = hopeful[k]
                if wide[j] > threshold and (wide[j] == best_promises[i]) == is_best:
                    distance = squared_distance(rows[i], members[j])
                    _insert(distance, column + j, best[i], places[i])
                    threshold = bar(norms[i], best[i, last], relative_slack)


@njit(cache=True, nogil=True, inline="always")
def _insert(
    distance: float, place: int, best: Float64Array, places: Int64Array
) -> None:  # pragma: no cover - compiled
    """Insert a neighbour where it belongs; equal distances stand by index."""
    position = best.shape[0]
    while position > 0 and (
        distance < best[position - 1]
        or (distance == best[position - 1] and place < places[position - 1])
    ):
        position -= 1
    if position == best.shape[0]:
        return
    for k in range(best.shape[0] - 1, position, -1):
        best[k] = best[k - 1]
        places[k] = places[k - 1]
    best[position] = distance
    places[position] = place
