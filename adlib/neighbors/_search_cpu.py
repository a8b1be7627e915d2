"""Exact nearest neighbours on the CPU.

Sketches of queries and bank meet in tiles, so nothing of size n_queries x n_bank
exists. Each query keeps its k best; a bank row is measured only where its promise
clears the query's bar (see ``_sketch``), so the answer is that of measuring every pair.
"""

from __future__ import annotations

import numpy as np

from adlib._threads import Threads, available_threads
from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._meet import (
    NO_GROUPS,
    NOBODY,
    ROWS_AT_ONCE,
    Found,
    Seekers,
    keep_nearest,
    members_in_leaves,
)
from adlib.neighbors._points import Points
from adlib.neighbors._sketch import Sketcher

FEWEST_PAIRS = 2**19  # under which waking threads takes longer than they save


class ExactSearchCPU:
    """Nearest neighbours by squared distance; ties go to the lowest index.

    Args:
        points: The bank.
        groups: Group of each bank row, (n_bank,), to be left out on demand.
        sketcher: How sketches are made; None fits one to the bank.
    """

    def __init__(
        self, points: Points, groups: Int64Array, sketcher: Sketcher | None = None
    ) -> None:
        self._sketcher = sketcher or Sketcher(points.rows)
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            self._members = members_in_leaves(
                points.rows, groups, self._sketcher, pool, n_threads
            )

    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices, each (n_queries, n_neighbors)."""
        n_queries = len(queries.rows)
        distances = np.full((n_queries, n_neighbors), np.inf)
        indices = np.full((n_queries, n_neighbors), NOBODY, np.int64)
        n_pairs = n_queries * len(self._members.rows)
        n_threads = 1 if n_pairs < FEWEST_PAIRS else available_threads()
        with Threads(n_threads) as pool:
            for first in range(0, n_queries, ROWS_AT_ONCE):
                part = slice(first, first + ROWS_AT_ONCE)
                rows = queries.rows[part]
                some = self._sketcher.sketch(rows, pool, n_threads)
                hidden = NO_GROUPS if left_out is None else left_out[part]
                keep_nearest(
                    np.arange(len(rows)),
                    np.zeros(len(rows), np.int64),
                    Seekers(rows, some.words, some.norms, hidden),
                    self._members,
                    len(self._members.rows),
                    Found(distances[part], indices[part]),
                    self._sketcher.slack,
                    pool,
                    n_threads,
                )
        return distances, indices
