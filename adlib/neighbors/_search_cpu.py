"""Exact nearest neighbours on the CPU: a product proposes, the fixed-order sum decides.

Queries and bank meet in tiles, so nothing of size n_queries x n_bank exists. Each query
keeps its k best; a bank row is measured only where its promise clears the query's bar
(see ``_distances``), so the answer is that of measuring every pair.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from adlib._threads import available_threads, run_in_slices
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._distances import (
    bar,
    best_promise,
    half_norms,
    slack,
    squared_distance,
)
from adlib.neighbors._points import Points

TILE_QUERIES, TILE_BANK = 2048, 1024  # one tile of products: 8 MiB, inside most L3s
NOBODY = -1  # a group that no bank row has


class ExactSearchCPU:
    """Nearest neighbours by squared distance; ties go to the lowest index.

    Args:
        points: The bank.
        groups: Group of each bank row, (n_bank,), to be left out on demand.
    """

    def __init__(self, points: Points, groups: Int64Array) -> None:
        self._rows, self._norms = points
        self._groups = groups
        self._half_norms = half_norms(points.norms, points.rows.shape[1])

    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices, each (n_queries, n_neighbors)."""
        n_queries = len(queries.rows)
        distances = np.full((n_queries, n_neighbors), np.inf)
        indices = np.full((n_queries, n_neighbors), NOBODY, np.int64)
        n_threads = available_threads()
        with ThreadPoolExecutor(n_threads) as pool:
            for first in range(0, n_queries, TILE_QUERIES):
                tile = slice(first, first + TILE_QUERIES)
                rows, norms = queries.rows[tile], queries.norms[tile]
                best, places = distances[tile], indices[tile]
                skipped = None if left_out is None else left_out[tile]
                for column in range(0, len(self._rows), TILE_BANK):
                    self._meet(
                        rows, norms, column, skipped, best, places, pool, n_threads
                    )
        return distances, indices

    def _meet(
        self,
        rows: Float32Array,
        norms: Float64Array,
        column: int,
        skipped: Int64Array | None,
        best: Float64Array,
        places: Int64Array,
        pool: ThreadPoolExecutor,
        n_threads: int,
    ) -> None:
        """Let a tile of queries meet a tile of the bank."""
        members = slice(column, column + TILE_BANK)
        bank_rows = self._rows[members]
        products = rows @ bank_rows.T
        groups = self._groups[members]

        def meet(begin: int, end: int) -> None:
            if skipped is not None:
                _leave_out(products[begin:end], skipped[begin:end], groups)
            _keep_nearest(
                products[begin:end],
                rows[begin:end],
                norms[begin:end],
                bank_rows,
                self._half_norms[members],
                column,
                best[begin:end],
                places[begin:end],
                slack(rows.shape[1]),
            )

        run_in_slices(pool, n_threads, len(rows), meet)


@njit(cache=True, nogil=True)
def _leave_out(
    products: Float32Array, skipped: Int64Array, groups: Int64Array
) -> None:  # pragma: no cover - compiled
    """Make pairs of one group promise nothing."""
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            if groups[j] == skipped[i]:
                products[i, j] = -np.inf


@njit(cache=True, nogil=True)
def _keep_nearest(
    products: Float32Array,
    rows: Float32Array,
    norms: Float64Array,
    bank_rows: Float32Array,
    subtrahends: Float32Array,
    column: int,
    best: Float64Array,
    places: Int64Array,
    relative_slack: float,
) -> None:  # pragma: no cover - compiled
    """Keep the nearest bank rows of a tile, sorted by distance, then by index."""
    n_queries, n_members = products.shape
    last = best.shape[1] - 1
    for i in range(n_queries):
        top = best_promise(products[i], subtrahends)
        threshold = bar(norms[i], best[i, last], relative_slack)
        if not top > threshold:
            continue
        # The best promise first: it raises the bar, and few others still clear it.
        for is_top in (True, False):
            for j in range(n_members):
                promise = products[i, j] - subtrahends[j]
                if (promise == top) == is_top and promise > threshold:
                    distance = squared_distance(rows[i], bank_rows[j])
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
