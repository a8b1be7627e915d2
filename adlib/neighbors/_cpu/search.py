"""Exact nearest neighbours on the CPU.

Sketches are multiplied in tiles, so nothing of size n_queries x n_bank exists. Each
query keeps its k nearest; a bank row is measured only if it passes the filter, so the
answer is that of measuring every pair.

Rows that memory has no room for stay in their file. They are searched in blocks, one
after the other; what a query has found so far prunes the next block.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from adlib._scratch import check_disk
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
from adlib.neighbors._cpu.few import FEW_ROWS, FewRows
from adlib.neighbors._cpu.filter import guess_nearest, update_nearest

FEWEST_PAIRS = 2**19  # under which waking threads takes longer than they save
BLOCK_BYTES = 2**25  # of rows in a file that are clustered together


class ExactSearch:
    """Nearest neighbours in a bank whose rows are in groups; ties: lowest index.

    A sketcher is fitted to the bank where none is given. With ``scratch`` the rows are
    taken in blocks, and their sketches are in files of that folder.
    """

    def __init__(
        self,
        points: Float32Array,
        groups: Int64Array,
        sketcher: Sketcher | None = None,
        scratch: Path | None = None,
    ) -> None:
        n_points, at_once = len(points), len(points)
        self._few = FewRows(points) if len(points) <= FEW_ROWS else None
        self._sketcher = sketcher or Sketcher(points)
        self._n_points = n_points
        if scratch is not None:
            at_once = max(1, BLOCK_BYTES // points[0].nbytes)
            n_words = n_points * self._sketcher.n_words
            check_disk(scratch, n_words * self._sketcher.word.itemsize)
        n_threads = available_threads()
        with Threads(n_threads) as pool:
            self._databases = [
                clustered_database(
                    points,
                    groups,
                    range(first, min(first + at_once, n_points)),
                    self._sketcher,
                    pool,
                    n_threads,
                    scratch,
                )
                for first in range(0, n_points, at_once)
            ]

    def kneighbors(
        self, queries: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        if self._few is not None and n_neighbors == 1 and left_out is None:
            return self._few.nearest(queries)
        distances = np.full((len(queries), n_neighbors), np.inf)
        indices = np.full((len(queries), n_neighbors), -1, np.int64)  # none yet
        n_threads = self._threads_for(len(queries))
        with Threads(n_threads) as pool:
            for first in range(0, len(queries), ROWS_AT_ONCE):
                part = slice(first, first + ROWS_AT_ONCE)
                skipped = None if left_out is None else left_out[part]
                some = self._queries(queries[part], skipped, pool, n_threads)
                found = Found(distances[part], indices[part])
                self._update(np.arange(len(some.rows)), some, found, pool, n_threads)
        return distances, indices

    def farthest(
        self, queries: Float32Array, n_farthest: int
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``MemoryBank.farthest``.

        A distance to any entry is an upper bound. The queries with the highest bounds
        are searched first, and more and more until all others' bounds are below the
        n_farthest highest distances, among which they cannot be. Bounds are compared
        as float32, as the distances will be.
        """
        n_groups, n_queries, n_features = queries.shape
        distances = np.full((n_groups, n_queries), np.inf)
        indices = np.full((n_groups, n_queries), -1, np.int64)
        n_threads = self._threads_for(n_groups * n_queries)
        groups_at_once = max(1, ROWS_AT_ONCE // n_queries)
        with Threads(n_threads) as pool:
            for first in range(0, n_groups, groups_at_once):
                part = slice(first, first + groups_at_once)
                rows = queries[part].reshape(-1, n_features)
                bounds = distances[part]
                found = Found(bounds.reshape(-1, 1), indices[part].reshape(-1, 1))
                some = self._queries(rows, None, pool, n_threads)
                for database in self._databases:
                    guess_nearest(some, database, found, pool, n_threads)
                done, n_more = np.zeros(bounds.shape, bool), n_farthest
                while True:
                    lowest = _nth_highest(np.where(done, bounds, 0.0), n_farthest)
                    left = np.where(done, 0.0, bounds)
                    chosen = left >= _nth_highest(left, n_more)
                    chosen &= ~done & (_rounded(bounds) >= _rounded(lowest))
                    if not chosen.any():
                        break
                    ids = np.flatnonzero(chosen)
                    self._update(ids, some, found, pool, n_threads)
                    done |= chosen
                    n_more = min(2 * n_more, n_queries)
        return distances, indices

    def _threads_for(self, n_queries: int) -> int:
        n_pairs = n_queries * self._n_points
        return 1 if n_pairs < FEWEST_PAIRS else available_threads()

    def _queries(
        self,
        rows: Float32Array,
        left_out: Int64Array | None,
        pool: Executor,
        n_threads: int,
    ) -> Queries:
        sketches = self._sketcher.sketch(rows, pool, n_threads)
        skipped = NO_GROUPS if left_out is None else left_out
        return Queries(rows, sketches.words, sketches.norms, skipped)

    def _update(
        self,
        ids: Int64Array,
        queries: Queries,
        found: Found,
        pool: Executor,
        n_threads: int,
    ) -> None:
        seen = np.zeros(len(ids), np.int64)
        for database in self._databases:
            n_rows = len(database.ids)
            update_nearest(ids, seen, queries, database, n_rows, found, pool, n_threads)


def _rounded(squared: Float64Array) -> Float32Array:
    return np.sqrt(squared).astype(np.float32)


def _nth_highest(values: Float64Array, n: int) -> Float64Array:
    """Return the n-th highest of each row, (n_rows, 1)."""
    return np.partition(values, -n, axis=1)[:, [-n]]
