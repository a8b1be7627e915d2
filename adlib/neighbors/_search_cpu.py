"""Exact nearest neighbours on the CPU: a product proposes, the fixed-order sum decides.

Queries and bank meet in tiles, so nothing of size n_queries x n_bank exists. Each query
keeps its k best; a bank row is measured only where its promise clears the query's bar
(see ``_distances``), so the answer is that of measuring every pair.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit

from adlib._threads import available_threads, run_in_slices
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._distances import bar, squared_distance
from adlib.neighbors._points import Points
from adlib.neighbors._products import Prepared, Products, choose_products
from adlib.neighbors._widen import widen

TILE_QUERIES, TILE_BANK = 2048, 1024  # one tile of products: 8 MiB, inside most L3s
NOBODY = -1  # a group that no bank row has


class ExactSearchCPU:
    """Nearest neighbours by squared distance; ties go to the lowest index.

    Args:
        points: The bank.
        groups: Group of each bank row, (n_bank,), to be left out on demand.
        products: How products are made; None takes the faster kind.
    """

    def __init__(
        self, points: Points, groups: Int64Array, products: Products | None = None
    ) -> None:
        self._rows = points.rows
        self._groups = groups
        self._products = products or choose_products(points)

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
                part = slice(first, first + TILE_QUERIES)
                tile = _Tile(
                    queries.rows[part],
                    self._products.prepare(
                        Points(queries.rows[part], queries.norms[part])
                    ),
                    None if left_out is None else left_out[part],
                    distances[part],
                    indices[part],
                )
                for column in range(0, len(self._rows), TILE_BANK):
                    self._meet(tile, column, pool, n_threads)
        return distances, indices

    def _meet(
        self, tile: _Tile, column: int, pool: ThreadPoolExecutor, n_threads: int
    ) -> None:
        """Let a tile of queries meet a tile of the bank."""
        members = slice(column, column + TILE_BANK)
        hidden = None
        if tile.skipped is not None:
            hidden = self._groups[members] == tile.skipped[:, None]
        promised = self._products.promise(tile.prepared, members, hidden)

        def meet(begin: int, end: int) -> None:
            mine = slice(begin, end)
            _keep_nearest(
                promised.promises[mine],
                promised.best[mine],
                tile.rows[mine],
                tile.prepared.norms[mine],
                self._rows[members],
                column,
                tile.best[mine],
                tile.places[mine],
                self._products.slack,
            )

        run_in_slices(pool, n_threads, len(tile.rows), meet)


class _Tile(NamedTuple):
    """Some queries, what they leave out, and the best they have found so far."""

    rows: Float32Array
    prepared: Prepared
    skipped: Int64Array | None
    best: Float64Array
    places: Int64Array


@njit(cache=True, nogil=True)
def _keep_nearest(
    promises: AnyArray,
    best_promises: Float32Array,
    rows: Float32Array,
    norms: Float64Array,
    bank_rows: Float32Array,
    column: int,
    best: Float64Array,
    places: Int64Array,
    relative_slack: float,
) -> None:  # pragma: no cover - compiled
    """Keep the nearest bank rows of a tile, sorted by distance, then by index."""
    n_queries, n_members = promises.shape
    last = best.shape[1] - 1
    wide = np.empty(n_members, np.float32)
    for i in range(n_queries):
        threshold = bar(norms[i], best[i, last], relative_slack)
        if not best_promises[i] > threshold:
            continue
        widen(promises[i], wide)
        # The best promise first: it raises the bar, and few others still clear it.
        for is_best in (True, False):
            for j in range(n_members):
                if wide[j] > threshold and (wide[j] == best_promises[i]) == is_best:
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
