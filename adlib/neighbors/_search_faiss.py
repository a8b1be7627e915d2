"""FAISS indexes behind the memory bank's protocol."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._points import Points


class FaissFlatSearch:
    """FAISS's flat index: brute force in float32, ties in FAISS's order.

    Its distances come from |x|^2 + |y|^2 - 2 x.y and lose digits where points nearly
    coincide; the exact engine does not.

    Raises:
        ImportError: FAISS is not installed.
    """

    def __init__(self, points: Points, groups: Int64Array) -> None:
        try:
            faiss: Any = import_module("faiss")  # wrappers made at run time
        except ImportError:
            raise ImportError(
                'search="faiss-flat" needs FAISS. Run: '
                'pip install "adlib-vision[faiss]", or take search="exact".'
            ) from None
        self._faiss = faiss
        self._groups = groups
        self._index = faiss.IndexFlatL2(points.rows.shape[1])
        self._index.add(points.rows)

    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        if left_out is None:
            found, indices = self._index.search(queries.rows, n_neighbors)
            return found.astype(np.float64), indices
        distances = np.empty((len(queries.rows), n_neighbors))
        indices = np.empty((len(queries.rows), n_neighbors), np.int64)
        for group in np.unique(left_out):
            asking = np.flatnonzero(left_out == group)
            members = np.flatnonzero(self._groups == group)
            inside = self._faiss.IDSelectorBatch(members)
            selector = self._faiss.IDSelectorNot(inside)
            distances[asking], indices[asking] = self._index.search(
                queries.rows[asking],
                n_neighbors,
                params=self._faiss.SearchParameters(sel=selector),
            )
        return distances, indices
