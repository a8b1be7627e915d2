"""Nearest neighbours with FAISS: an index names candidates, float64 sums decide.

The index is asked for a few more candidates than are wanted. Their distances are
measured like the exact engines', so a distance is always the true one to the row that
it stands beside; what an approximate index can get wrong is only which rows it names.
A query for which it names too few is searched in full.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from adlib._compile import compiled
from adlib._threads import Threads, available_threads, run_in_slices, undivided
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._bank import UNTRAINED, SearchKind
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.search import ExactSearch
from adlib.neighbors._faiss.indexes import (
    build_index,
    import_faiss,
    index_from_bytes,
    index_on,
    index_to_bytes,
    left_out_parameters,
    widened,
)
from adlib.neighbors._points import Points

SPARE = 8  # candidates beyond those asked for: coarse codes confuse near ones
MOST_ON_GPU = 2048  # candidates that FAISS's GPU indexes can give


class FaissSearch:
    """Nearest neighbours among the candidates of a FAISS index.

    Args:
        kind: Which index.
        points: The bank.
        groups: Group of each bank row, (n_bank,), to be left out on demand.
        device: "cpu", or "cuda:N" for the kinds that FAISS's build has there; searches
            that leave groups out stay on the CPU, since GPU indexes cannot.
        stored: The index of this bank, as ``index_bytes`` gave it; None builds one.

    Raises:
        ImportError: FAISS is not installed.
        ValueError: ``stored`` is no such index.
    """

    @undivided()
    def __init__(
        self,
        kind: SearchKind,
        points: Points,
        groups: Int64Array,
        device: str = "cpu",
        stored: AnyArray | None = None,
    ) -> None:
        self._kind = kind
        self._points = points
        self._groups = groups
        self._faiss = import_faiss(kind)
        if stored is None:
            self._index = build_index(kind, points.rows)
        else:
            self._index = index_from_bytes(kind, stored, *points.rows.shape)
        self._fast_index = index_on(kind, self._index, device)

    def index_bytes(self) -> AnyArray | None:
        """Return the index, (n_bytes,) uint8; None where the bank is all there is."""
        if self._kind in UNTRAINED:
            return None
        return index_to_bytes(self._kind, self._index)

    @undivided()
    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        n_candidates = min(n_neighbors + SPARE, len(self._points.rows))
        candidates = self._candidates(queries.rows, n_candidates, left_out)
        squared = self._measure(queries.rows, candidates)
        order = np.lexsort((candidates, squared))[:, :n_neighbors]
        squared = np.take_along_axis(squared, order, axis=1)
        indices = np.take_along_axis(candidates, order, axis=1)
        incomplete = np.flatnonzero(np.isinf(squared[:, -1]))
        if incomplete.size:
            again = Points(queries.rows[incomplete], queries.norms[incomplete])
            skipped = None if left_out is None else left_out[incomplete]
            found = self._exact.kneighbors(again, n_neighbors, skipped)
            squared[incomplete], indices[incomplete] = found
        return squared, indices

    def _candidates(
        self, rows: Float32Array, n_candidates: int, left_out: Int64Array | None
    ) -> Int64Array:
        """Return candidates for each query, (n_queries, n_candidates); -1 is none."""
        rows = widened(rows, self._index.d)
        if left_out is None:
            small = n_candidates <= MOST_ON_GPU
            index = self._fast_index if small else self._index
            candidates: Int64Array = index.search(rows, n_candidates)[1]
            return candidates
        candidates = np.empty((len(rows), n_candidates), np.int64)
        for group in np.unique(left_out):
            which = np.flatnonzero(left_out == group)
            inside = self._faiss.IDSelectorBatch(np.flatnonzero(self._groups == group))
            selector = self._faiss.IDSelectorNot(inside)
            parameters = left_out_parameters(self._kind, self._index, selector)
            found = self._index.search(rows[which], n_candidates, params=parameters)
            candidates[which] = found[1]
        return candidates

    def _measure(self, rows: Float32Array, candidates: Int64Array) -> Float64Array:
        """Return squared distances to candidates, inf where there is none."""
        squared = np.full(candidates.shape, np.inf)

        def measure(first: int, last: int) -> None:
            part = slice(first, last)
            _measure(rows[part], self._points.rows, candidates[part], squared[part])

        n_threads = available_threads()
        with Threads(n_threads) as pool:
            run_in_slices(pool, n_threads, len(rows), measure)
        return squared

    @cached_property
    def _exact(self) -> ExactSearch:
        return ExactSearch(self._points, self._groups)


@compiled()
def _measure(
    rows: Float32Array,
    bank: Float32Array,
    candidates: Int64Array,
    squared: Float64Array,
) -> None:  # pragma: no cover - compiled
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            if candidates[i, j] >= 0:
                squared[i, j] = squared_distance(rows[i], bank[candidates[i, j]])
