"""The memory bank: patch embeddings of good images, and their search."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from adlib._device import resolve_device, still_there
from adlib._scratch import default_folder, in_a_file
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib._validation import check_int, check_option, describe, refusal
from adlib.neighbors._points import as_points

SearchKind: TypeAlias = Literal[
    "exact", "faiss-flat", "faiss-ivf", "faiss-hnsw", "faiss-ivfpq", "faiss-sq"
]
UNTRAINED: tuple[SearchKind, ...] = ("exact", "faiss-flat")
OWNER = "MemoryBank"


class Neighbours(NamedTuple):
    """Result of ``kneighbors``: distances and indices, the nearest first.

    Attributes:
        distances: Euclidean (plain, not squared), (n_queries, n_neighbors), ascending.
        indices: Of the bank's entries, (n_queries, n_neighbors).
    """

    distances: Float32Array
    indices: Int64Array


class Recall(NamedTuple):
    """How well a search finds what the exact one finds, for one nearest neighbour.

    Attributes:
        n_queries: How many queries there were.
        recall: Share of queries whose nearest entry was found, or one as near.
        mean_distance: Mean distance to what was found.
        mean_exact: Mean distance to the true nearest entry, at most ``mean_distance``.
    """

    n_queries: int
    recall: float
    mean_distance: float
    mean_exact: float


class Search(Protocol):
    """What holds a bank and finds the rows nearest to queries; FAISS's has an index."""

    def kneighbors(
        self, queries: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances, ascending, and indices of the nearest rows."""
        ...


class MemoryBank:
    """Patch embeddings with nearest-neighbour search, and where each came from.

    Args:
        X: Patch embeddings, (n_bank, n_features), real numbers, cast to float32. Rows
            of float32 in a file (``np.load("bank.npy", mmap_mode="r")``) are not read
            into memory; the file must not change.
        search: "exact" finds the true nearest neighbours. The others take candidates
            from a FAISS index (extra ``faiss``), and may miss some: brute force in
            float32 ("faiss-flat"), inverted lists ("faiss-ivf"), the same with 8-bit
            ("faiss-sq") or product-quantised codes ("faiss-ivfpq"), or a graph
            ("faiss-hnsw"). ``recall`` measures what they miss.
        origins: Where each entry came from, (n_bank, 3) integers: image number, row and
            column of the patch grid. None: unknown.
        device: Where the exact search runs: "cpu", "cuda", "cuda:N", or "auto". A GPU
            holds all rows, those of a file, too. FAISS
            runs on the CPU; only a FAISS built for GPUs takes its indexes but
            "faiss-hnsw" there, a path that has not been run yet.
        index: The trained index of this very bank, as ``index_bytes`` gave it,
            (n_bytes,) uint8; None trains one where ``search`` needs it.

    Attributes:
        embeddings: (n_bank, n_features) float32.
        origins: (n_bank, 3) int64, or None.

    Raises:
        TypeError: ``X`` or ``origins`` does not hold numbers of the right kind.
        ValueError: A shape, value or option is not as stated; ``index`` does not
            belong to such a bank.
        ImportError: FAISS is asked for and not installed.
        OSError: The disk has no room for the sketches of a bank in a file.

    Note:
        Of a bank in a file the exact search on a CPU holds about 64 bytes an entry, and
        150 MB at most. Its sketches are a nameless file in the user's cache folder
        (``XDG_CACHE_HOME``), as large as the bank at most, and usually half of it. A
        copy or pickle of such a bank holds its rows.

        Indexes are trained with fixed seeds: the same rows give the same index. The
        user guide has a table of the memory that they take. FAISS checks little of an
        index: pass one only from a source that you trust.

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
        index: AnyArray | None = None,
    ) -> None:
        # A copy: changing X later must not change the results. A file may have no room.
        copied = X if in_a_file(X) else np.array(X)
        self.embeddings = as_points(copied, "X", OWNER)
        self._kind: SearchKind = check_option(
            search, "search", OWNER, get_args(SearchKind)
        )
        self.origins, self._images = None, np.full(len(self), -1, np.int64)
        if origins is not None:
            what = "image number, grid row and grid column of each entry"
            shape = (len(self), 3)
            self.origins = _as_integers(origins, shape, "origins", OWNER, what)
            self._images = np.ascontiguousarray(self.origins[:, 0])
        self._place = resolve_device(device, OWNER)
        stored = None if index is None else _as_stored(index, self._kind)
        self._search = build_search(
            self._kind, self.embeddings, self._images, self._place, stored
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # As a model file does: engines are made again, a trained index from its bytes.
        index = self.index_bytes()
        given = {"search": self._kind, "origins": self.origins, "index": index}
        return _again, (self.embeddings, self._place, given)

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
            Euclidean distances, float32, and indices into ``embeddings``, int64, each
            (n_queries, n_neighbors).

        Raises:
            TypeError: ``queries`` or ``left_out`` holds other things than numbers.
            ValueError: A shape does not fit, or fewer than ``n_neighbors`` entries
                remain.

        Note:
            With ``search="exact"`` the neighbours are those of measuring every pair in
            float64, ties to the lowest index, whatever the batches and threads. Time is
            O(n_queries * n_bank * m), with m as in ``greedy_coreset``. On a CPU, memory
            beyond the result and a float32 copy of queries of other types is that of
            16,384 sketches (projected, rounded queries) and under 16 MiB.

            With a FAISS index the distances are the true ones to the entries that are
            named, but it may miss a nearer entry. Queries for which it names fewer than
            ``n_neighbors`` are searched exactly. Memory beyond the result:
            16 * (n_neighbors + 8) bytes a query, and what FAISS takes.
        """
        owner = f"{OWNER}.kneighbors"
        points = self._checked(queries, owner)
        skipped = as_left_out(left_out, len(points), self.origins is not None, owner)
        n_left = self.fewest_left(skipped)
        n_neighbors = check_int(n_neighbors, "n_neighbors", owner, low=1, high=n_left)
        squared, indices = self._search.kneighbors(points, n_neighbors, skipped)
        return Neighbours(np.sqrt(squared).astype(np.float32), indices)

    def farthest(self, queries: ArrayLike, n_farthest: int) -> Neighbours:
        """Find the nearest entries of the queries that are farthest from the bank.

        An image score needs no more, and an exact search on a CPU then takes a fraction
        of the time of ``kneighbors``.

        Args:
            queries: In groups, as the patches of images are, (n_groups, n_queries,
                n_features), real numbers, cast to float32.
            n_farthest: How many of each group, in [1, n_queries].

        Returns:
            Distances and indices as ``kneighbors`` gives them, (n_groups, n_queries)
            each, for the ``n_farthest`` queries of each group with the largest
            distances and all that are as far. For another query they may be those of
            an entry that is not the nearest, but still nearer than any of theirs.

        Raises:
            TypeError: ``queries`` does not hold numbers.
            ValueError: A shape does not fit, or ``n_farthest`` is out of range.

        Example:
            >>> bank = MemoryBank([[0.0], [10.0]])
            >>> bank.farthest([[[1.0], [4.0], [9.5]]], 1).distances.max(axis=1)
            array([4.], dtype=float32)
        """
        owner = f"{OWNER}.farthest"
        array = np.asarray(queries)
        shape = array.shape
        if len(shape) != 3 or 0 in shape:  # noqa: PLR2004 - groups, queries, features
            rule = "(n_groups, n_queries, n_features), none of them 0"
            raise ValueError(refusal("queries", owner, rule, describe(array)))
        n_farthest = check_int(n_farthest, "n_farthest", owner, low=1, high=shape[1])
        points = self._checked(array.reshape(-1, shape[2]), owner)
        if hasattr(self._search, "farthest"):
            found = self._search.farthest(points.reshape(shape), n_farthest)
        else:
            found = self._search.kneighbors(points, 1, None)
        squared, indices = (one.reshape(shape[:2]) for one in found)
        return Neighbours(np.sqrt(squared).astype(np.float32), indices)

    def fewest_left(self, left_out: Int64Array | None) -> int:
        """Return how many entries remain for the query that leaves out the most.

        Args:
            left_out: As ``kneighbors`` takes it, (n_queries,).

        Returns:
            The most neighbours that can be asked for, in [0, n_bank].
        """
        return len(self) if left_out is None else int(self._n_left(left_out).min())

    def _n_left(self, left_out: Int64Array) -> Int64Array:
        """Return how many entries remain for each query, (n_queries,)."""
        images, counts = np.unique(self._images, return_counts=True)
        places = np.searchsorted(images, left_out).clip(max=len(images) - 1)
        n_out = np.where(images[places] == left_out, counts[places], 0)
        n_left: Int64Array = len(self) - n_out
        return n_left

    def _nearest(
        self, points: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices of what may be a part of all entries.

        They are inf and -1 where fewer than ``n_neighbors`` entries remain.
        """
        shape = (len(points), n_neighbors)
        squared, indices = np.full(shape, np.inf), np.full(shape, -1, np.int64)
        n_left = np.full(len(points), len(self))
        if left_out is not None:
            n_left = self._n_left(left_out)
        n_found = n_left.clip(max=n_neighbors)
        for n in np.unique(n_found[n_found > 0]).tolist():
            some = np.flatnonzero(n_found == n)
            skipped = None if left_out is None else left_out[some]
            found = self._search.kneighbors(points[some], n, skipped)
            squared[some, :n], indices[some, :n] = found
        return squared, indices

    def recall(self, queries: ArrayLike) -> Recall:
        """Measure how well this bank's search finds what the exact one finds.

        Args:
            queries: (n_queries, n_features), real numbers, cast to float32; at best
                like the queries to come, and not entries of the bank, which every
                index finds easily.

        Returns:
            Recall of the one nearest neighbour, and mean distances found and true. An
            exact search is built for it and discarded.
        """
        found = self.kneighbors(queries).distances[:, 0]
        exact = MemoryBank(self.embeddings, device=self._place)
        nearest = exact.kneighbors(queries).distances[:, 0]
        return Recall(
            n_queries=len(found),
            recall=float(np.mean(found <= nearest)),
            mean_distance=float(found.mean(dtype=np.float64)),
            mean_exact=float(nearest.mean(dtype=np.float64)),
        )

    def _checked(self, queries: ArrayLike, owner: str) -> Float32Array:
        """Return queries as points, or raise."""
        points = as_points(queries, "queries", owner)
        if points.shape[1] != self.embeddings.shape[1]:
            rule = f"(n_queries, {self.embeddings.shape[1]}) like the bank"
            raise ValueError(refusal("queries", owner, rule, describe(points)))
        return points

    def index_bytes(self) -> AnyArray | None:
        """Return what ``index`` takes, (n_bytes,) uint8; None where none is trained."""
        stored = getattr(self._search, "index_bytes", None)
        return None if stored is None else stored()


def _again(embeddings: Float32Array, device: str, given: dict[str, Any]) -> MemoryBank:
    """Rebuild a bank that was copied or pickled, perhaps on another machine."""
    return MemoryBank(embeddings, device=still_there(device), **given)


def _as_stored(index: AnyArray, kind: SearchKind) -> AnyArray:
    array = np.asarray(index)
    rule = "(n_bytes,) uint8, as index_bytes gives it"
    if kind in UNTRAINED:
        rule = f"None for search={kind!r}, which trains none"
    elif array.ndim == 1 and array.dtype == np.uint8 and array.size:
        return array
    raise ValueError(refusal("index", OWNER, rule, describe(array)))


def as_left_out(
    left_out: ArrayLike | None, n_queries: int, knows_origins: bool, owner: str
) -> Int64Array | None:
    """Return the image number that each query leaves out, or raise."""
    if left_out is None:
        return None
    if not knows_origins:
        rule = "None for a bank that does not know its origins"
        raise ValueError(refusal("left_out", owner, rule, describe(left_out)))
    what = "the image number of each query"
    return _as_integers(left_out, (n_queries,), "left_out", owner, what)


def _as_integers(
    value: ArrayLike, shape: tuple[int, ...], parameter: str, owner: str, what: str
) -> Int64Array:
    """Return integers of a shape, or raise."""
    array = np.asarray(value)
    if array.shape != shape or array.dtype.kind not in "iu":
        rule = f"{shape} integers, {what}"
        raise ValueError(refusal(parameter, owner, rule, describe(array)))
    return np.ascontiguousarray(array, dtype=np.int64)


def build_search(
    kind: SearchKind,
    points: Float32Array,
    groups: Int64Array,
    device: str,
    stored: AnyArray | None = None,
) -> Search:
    """Return the engine of that kind over the bank, whose rows are in these groups."""
    if kind != "exact":
        from adlib.neighbors._faiss import FaissSearch  # noqa: PLC0415

        return FaissSearch(kind, points, groups, device, stored)
    if device == "cpu":
        from adlib.neighbors._cpu.search import ExactSearch  # noqa: PLC0415

        folder = default_folder() if in_a_file(points) else None
        return ExactSearch(points, groups, scratch=folder)
    from adlib.neighbors._torch import search  # noqa: PLC0415

    return search.ExactSearch(points, groups, device)
