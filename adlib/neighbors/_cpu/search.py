"""Exact nearest neighbours on the CPU.

Sketches are multiplied in tiles, so nothing of size n_queries x n_bank exists. Each
query keeps its k nearest; a bank row is measured only if it passes the filter, so the
answer is that of measuring every pair.
"""

from __future__ import annotations

import numpy as np

from adlib._threads import Threads, available_threads
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.bounds import Sketcher
from adlib.neighbors._cpu.database import (
    NO_GROUPS,
    ROWS_AT_ONCE,
    Found,
    Queries,
    clustered_database,
)
from adlib.neighbors._cpu.filter import update_nearest

FEWEST_PAIRS = 2**19  # under which waking threads takes longer than they save


class ExactSearch:
    """Nearest neighbours in a bank whose rows are in groups; ties: lowest index.

    A sketcher is fitted to the bank where none is given.
    """

    def __init__(
        self, points: Float32Array, groups: Int64Array, sketcher: Sketcher | None = None
    ) -> None:
        self._sketcher = sketcher or Sketcher(points)
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            self._database = clustered_database(
                points, groups, self._sketcher, pool, n_threads
            )

    def kneighbors(
        self, queries: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        n_queries = len(queries)
        distances = np.full((n_queries, n_neighbors), np.inf)
        indices = np.full((n_queries, n_neighbors), -1, np.int64)  # none yet
        n_pairs = n_queries * len(self._database.rows)
        n_threads = 1 if n_pairs < FEWEST_PAIRS else available_threads()
        with Threads(n_threads) as pool:
            for first in range(0, n_queries, ROWS_AT_ONCE):
                part = slice(first, first + ROWS_AT_ONCE)
                rows = queries[part]
                sketches = self._sketcher.sketch(rows, pool, n_threads)
                skipped = NO_GROUPS if left_out is None else left_out[part]
                update_nearest(
                    np.arange(len(rows)),
                    np.zeros(len(rows), np.int64),
                    Queries(rows, sketches.words, sketches.norms, skipped),
                    self._database,
                    len(self._database.rows),
                    Found(distances[part], indices[part]),
                    pool,
                    n_threads,
                )
        return distances, indices
