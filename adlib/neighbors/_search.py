"""The searches of a memory bank: their names, their interface, and the choice."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

from adlib._typing import AnyArray, Float64Array, Int64Array
from adlib.neighbors._points import Points

SearchKind: TypeAlias = Literal[
    "exact", "faiss-flat", "faiss-ivf", "faiss-hnsw", "faiss-ivfpq", "faiss-sq"
]
SEARCH_KINDS: tuple[SearchKind, ...] = get_args(SearchKind)
UNTRAINED: tuple[SearchKind, ...] = ("exact", "faiss-flat")


class Search(Protocol):
    """An engine that holds a bank and finds the bank rows nearest to queries.

    Every ``search`` of ``MemoryBank`` is one; the bank checks what it passes on.
    """

    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices of the nearest rows.

        Args:
            queries: Checked rows, (n_queries, n_features) float32, and squared norms.
            n_neighbors: How many to find, in [1, n_bank].
            left_out: A group for each query, (n_queries,): bank rows of that group do
                not count. None: all count.

        Returns:
            Squared Euclidean distances, ascending, and indices into the bank, each
            (n_queries, n_neighbors); in an exact engine ties go to the lowest index.
        """
        ...


@runtime_checkable
class Trained(Protocol):
    """An engine whose index can be stored and loaded without training again."""

    def index_bytes(self) -> AnyArray | None:
        """Return the index, (n_bytes,) uint8; None where the bank is all there is."""
        ...


def build_search(
    kind: SearchKind,
    points: Points,
    groups: Int64Array,
    device: str,
    stored: AnyArray | None = None,
) -> Search:
    """Return the engine of that kind over the bank.

    Args:
        kind: Which engine.
        points: The bank.
        groups: Group of each bank row, (n_bank,).
        device: "cpu" or "cuda:N".
        stored: The trained index of a FAISS kind, (n_bytes,) uint8; None trains one.
    """
    if kind != "exact":
        from adlib.neighbors._faiss.search import FaissSearch  # noqa: PLC0415

        return FaissSearch(kind, points, groups, device, stored)
    if device == "cpu":
        from adlib.neighbors._cpu.search import ExactSearch  # noqa: PLC0415

        return ExactSearch(points, groups)
    from adlib.neighbors._torch import search  # noqa: PLC0415

    return search.ExactSearch(points, groups, device)
