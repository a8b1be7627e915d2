"""What every search engine is to the memory bank, and how one is chosen."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from adlib._typing import AnyArray, Float64Array, Int64Array
from adlib.neighbors._points import Points
from adlib.neighbors._search_kinds import SearchKind


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
    """An engine whose index can be stored, to be had again without training."""

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
        from adlib.neighbors._search_faiss import FaissSearch  # noqa: PLC0415

        return FaissSearch(kind, points, groups, device, stored)
    if device == "cpu":
        from adlib.neighbors._search_cpu import ExactSearchCPU  # noqa: PLC0415

        return ExactSearchCPU(points, groups)
    from adlib.neighbors._search_torch import ExactSearchTorch  # noqa: PLC0415

    return ExactSearchTorch(points, groups, device)
