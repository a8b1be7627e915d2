"""The nearest of a few rows: one product, and the rows that its rounding leaves.

A sketch must be made and a filter set up before either saves anything. Of a few rows it
takes less to compute |y|^2 / 2 - x y for every row y, in which a query x's nearest row
has the lowest value but for rounding, and to measure all rows that may have it.
"""

from __future__ import annotations

import numpy as np

from adlib._compile import compiled
from adlib._threads import (
    SLICES_PER_THREAD,
    Threads,
    available_threads,
    run_in_slices,
)
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.bounds import UNIT_ROUNDOFF
from adlib.neighbors._cpu.distances import squared_distance, squared_norm, squared_norms

FEW_ROWS = 512  # at most; from there on the filter saves more than it costs
FEWEST_PAIRS = 2**17  # under which waking threads takes longer than they save
WIDTH = 32  # columns are filled up to a multiple of it, so that none is left over
AT_ONCE = 16  # queries that read a column together
SMALLEST = 2.0**-126  # what a product may lose where it underflows


class FewRows:
    """Finds the nearest of at most ``FEW_ROWS`` rows; ties: lowest index."""

    def __init__(self, rows: Float32Array) -> None:
        n_rows, n_features = rows.shape
        width = -(-n_rows // WIDTH) * WIDTH
        norms = squared_norms(rows)
        self._rows = rows
        self._columns = np.zeros((n_features, width), np.float32)
        self._columns[:, :n_rows] = rows.T
        self._halves = np.full(width, np.inf, np.float32)
        self._halves[:n_rows] = norms / 2
        self._longest = float(np.sqrt(norms.max()))

    def nearest(self, queries: Float32Array) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices, (n_queries, 1) each."""
        squared = np.empty((len(queries), 1))
        indices = np.empty((len(queries), 1), np.int64)

        def work(first: int, last: int) -> None:
            given = queries, self._rows, self._columns, self._halves, self._longest
            _nearest(*given, squared, indices, first, last)

        n_threads = available_threads()
        if n_threads == 1 or len(queries) * len(self._rows) < FEWEST_PAIRS:
            work(0, len(queries))
        else:
            with Threads(n_threads) as pool:
                run_in_slices(pool, SLICES_PER_THREAD * n_threads, len(queries), work)
        return squared, indices


@compiled(fastmath={"reassoc", "contract"})
def _nearest(  # noqa: PLR0912 - a loop each
    queries: Float32Array,
    rows: Float32Array,
    columns: Float32Array,
    halves: Float32Array,
    longest: float,
    squared: Float64Array,
    indices: Int64Array,
    first: int,
    last: int,
) -> None:  # pragma: no cover - compiled
    """Find the nearest rows of the queries from ``first`` to before ``last``."""
    n_features, width = columns.shape
    fours = n_features - n_features % 4
    values = np.empty((AT_ONCE, width), np.float32)
    for start in range(first, last, AT_ONCE):
        n_here = min(AT_ONCE, last - start)
        pairs = n_here - n_here % 2
        for q in range(n_here):
            values[q] = halves
        for k in range(0, fours, 4):
            c0, c1 = columns[k], columns[k + 1]
            c2, c3 = columns[k + 2], columns[k + 3]
            for q in range(0, pairs, 2):
                x, y = queries[start + q], queries[start + q + 1]
                x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
                y0, y1, y2, y3 = y[k], y[k + 1], y[k + 2], y[k + 3]
                of_x, of_y = values[q], values[q + 1]
                for j in range(width):
                    of_x[j] -= x0 * c0[j] + x1 * c1[j] + x2 * c2[j] + x3 * c3[j]
                    of_y[j] -= y0 * c0[j] + y1 * c1[j] + y2 * c2[j] + y3 * c3[j]
            for q in range(pairs, n_here):
                x, of_x = queries[start + q], values[q]
                x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
                for j in range(width):
                    of_x[j] -= x0 * c0[j] + x1 * c1[j] + x2 * c2[j] + x3 * c3[j]
        for k in range(fours, n_features):
            for q in range(n_here):
                x0 = queries[start + q, k]
                for j in range(width):
                    values[q, j] -= x0 * columns[k, j]
        for q in range(n_here):
            # Each value errs by at most (d + 2) roundings of what it sums, in whatever
            # order; two more are for the limit itself.
            length = np.sqrt(squared_norm(queries[start + q]))
            summed = longest * longest / 2 + length * longest
            error = (n_features + 4) * (1.01 * UNIT_ROUNDOFF * summed + SMALLEST)
            lowest = np.float32(np.inf)
            for j in range(width):
                lowest = min(lowest, values[q, j])
            limit = np.float32(lowest + 2 * error)
            best, where = np.inf, -1
            for j in range(len(rows)):
                if values[q, j] <= limit:
                    distance = squared_distance(queries[start + q], rows[j])
                    if distance < best:
                        best, where = distance, j
            squared[start + q, 0] = best
            indices[start + q, 0] = where
