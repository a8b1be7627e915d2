"""Exact nearest neighbours on the CPU.

Queries and bank meet in tiles, so nothing of size n_queries x n_bank exists. Each query
keeps its k best; a bank row is measured only where its promise clears the query's bar
(see ``_distances``), so the answer is that of measuring every pair.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from adlib._threads import available_threads
from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._nearest import NOBODY, Seekers, keep_nearest
from adlib.neighbors._points import Points
from adlib.neighbors._products import Products, choose_products

TILE_QUERIES, TILE_BANK = 2048, 1024  # one tile of products: 8 MiB, inside most L3s


class ExactSearchCPU:
    """Nearest neighbours by squared distance; ties go to the lowest index.

    Args:
        points: The bank.
        groups: Group of each bank row, (n_bank,), to be left out on demand.
        products: How products with the bank are made; None takes the faster kind.
    """

    def __init__(
        self, points: Points, groups: Int64Array, products: Products | None = None
    ) -> None:
        self._rows = points.rows
        self._groups = groups
        self._products = products or choose_products(points.rows)

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
                some = Points(queries.rows[part], queries.norms[part])
                seekers = Seekers(
                    some.rows,
                    self._products.prepare(some),
                    distances[part],
                    indices[part],
                )
                for column in range(0, len(self._rows), TILE_BANK):
                    members = slice(column, column + TILE_BANK)
                    hidden = None
                    if left_out is not None:
                        hidden = self._groups[members] == left_out[part, None]
                    keep_nearest(
                        seekers,
                        self._products.promise(seekers.prepared, members, hidden),
                        self._rows[members],
                        column,
                        self._products.slack,
                        pool,
                        n_threads,
                    )
        return distances, indices
