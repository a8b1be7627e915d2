"""The memory bank: the patches that a detector remembers, and how to look them up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from adlib._device import resolve_device
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_int, check_option, describe, refusal
from adlib.neighbors._points import as_points
from adlib.neighbors._search import SEARCH_KINDS, SearchKind, build_search

OWNER = "MemoryBank"


class Neighbours(NamedTuple):
    """What ``kneighbors`` gives: plain distances and indices, (n_queries, n)."""

    distances: Float32Array
    indices: Int64Array


class MemoryBank:
    """Patch embeddings with nearest-neighbour search and a memory of their origin.

    Args:
        X: Patch embeddings, (n_bank, n_features), real numbers, cast to float32.
        search: "exact" finds the true nearest neighbours; "faiss-flat" uses FAISS's
            brute-force index (extra ``faiss``).
        origins: Where each entry came from, (n_bank, 3) integers: image number, row and
            column of the patch grid. None: unknown.
        device: Where the exact search runs: "cpu", "cuda", "cuda:N", or "auto". FAISS
            runs on the CPU.

    Attributes:
        embeddings: (n_bank, n_features) float32.
        origins: (n_bank, 3) int64, or None.

    Raises:
        TypeError: ``X`` or ``origins`` does not hold numbers of the right kind.
        ValueError: A shape, value or option is not as stated.
        ImportError: FAISS is asked for and not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.neighbors import MemoryBank
        >>> bank = MemoryBank(np.array([[0.0, 0.0], [3.0, 4.0]]))
        >>> bank.kneighbors(np.array([[0.0, 1.0], [3.0, 6.0]])).distances
        array([[1.],
               [2.]], dtype=float32)
    """

    def __init__(
        self,
        X: ArrayLike,
        *,
        search: SearchKind = "exact",
        origins: ArrayLike | None = None,
        device: str = "auto",
    ) -> None:
        # A copy: whoever changes X later must not change what is found.
        points = as_points(np.array(X), "X", OWNER)
        kind = check_option(search, "search", OWNER, SEARCH_KINDS)
        self.embeddings = points.rows
        self.origins = None if origins is None else _as_origins(origins, len(self))
        images = np.full(len(self), -1) if self.origins is None else self.origins[:, 0]
        self._images = np.ascontiguousarray(images, dtype=np.int64)
        place = resolve_device(device, OWNER)
        self._search = build_search(kind, points, self._images, place)

    def __len__(self) -> int:
        return len(self.embeddings)

    def kneighbors(
        self,
        queries: ArrayLike,
        n_neighbors: int = 1,
        *,
        left_out: ArrayLike | None = None,
    ) -> Neighbours:
        """Find the bank entries nearest to each query.

        Args:
            queries: (n_queries, n_features), real numbers, cast to float32.
            n_neighbors: How many to find, in [1, n_bank].
            left_out: An image number for each query, (n_queries,) integers: entries
                that came from that image do not count. Needs ``origins``.

        Returns:
            Euclidean distances (plain, not squared), float32, ascending, and indices
            into ``embeddings``, int64, each (n_queries, n_neighbors).

        Raises:
            TypeError: ``queries`` or ``left_out`` holds other things than numbers.
            ValueError: A shape does not fit, or fewer than ``n_neighbors`` entries
                remain.

        Note:
            With ``search="exact"`` the neighbours are those of measuring every pair in
            float64, ties to the lowest index, and do not depend on how queries are
            batched or on the number of threads. Where the processor has bfloat16
            instructions they propose candidates, and float64 sums decide all the same.
            On a CPU, memory beyond the result and a float32 copy of queries of other
            kinds stays under 64 MiB; time is O(n_queries * n_bank * n_features).
        """
        asked = as_points(queries, "queries", f"{OWNER}.kneighbors")
        if asked.rows.shape[1] != self.embeddings.shape[1]:
            rule = f"(n_queries, {self.embeddings.shape[1]}) like the bank"
            raise ValueError(
                refusal("queries", f"{OWNER}.kneighbors", rule, describe(asked.rows))
            )
        skipped = (
            None if left_out is None else self._as_left_out(left_out, len(asked.rows))
        )
        n_left = len(self) - self._most_left_out(skipped)
        n_neighbors = check_int(
            n_neighbors, "n_neighbors", f"{OWNER}.kneighbors", low=1, high=n_left
        )
        squared, indices = self._search.kneighbors(asked, n_neighbors, skipped)
        return Neighbours(np.sqrt(squared).astype(np.float32), indices)

    def _as_left_out(self, left_out: ArrayLike, n_queries: int) -> Int64Array:
        images = np.asarray(left_out)
        if images.shape != (n_queries,) or images.dtype.kind not in "iu":
            rule = f"({n_queries},) integers, an image number for each query"
            raise ValueError(
                refusal("left_out", f"{OWNER}.kneighbors", rule, describe(images))
            )
        if self.origins is None:
            rule = "None for a bank that does not know its origins"
            raise ValueError(refusal("left_out", f"{OWNER}.kneighbors", rule, images))
        return np.ascontiguousarray(images, dtype=np.int64)

    def _most_left_out(self, skipped: Int64Array | None) -> int:
        """Return how many entries the query with the largest image goes without."""
        if skipped is None:
            return 0
        images, counts = np.unique(self._images, return_counts=True)
        return int(counts[np.isin(images, skipped)].max(initial=0))


def _as_origins(origins: ArrayLike, n_bank: int) -> Int64Array:
    array = np.asarray(origins)
    if array.shape != (n_bank, 3) or array.dtype.kind not in "iu":
        rule = f"({n_bank}, 3) integers: image number, grid row, grid column"
        raise ValueError(refusal("origins", OWNER, rule, describe(array)))
    return np.ascontiguousarray(array, dtype=np.int64)
