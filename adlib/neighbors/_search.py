"""What every search engine is to the memory bank, and how one is chosen."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._points import Points

SearchKind: TypeAlias = Literal["exact", "faiss-flat"]
SEARCH_KINDS: tuple[SearchKind, ...] = ("exact", "faiss-flat")


class Search(Protocol):
    """An engine that holds a bank and finds the bank rows nearest to queries."""

    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances, ascending, and indices, (n_queries, n_neighbors).

        Bank rows whose group equals a query's entry of ``left_out`` do not count.
        """
        ...


def build_search(
    kind: SearchKind, points: Points, groups: Int64Array, device: str
) -> Search:
    """Return the engine of that kind over the bank; ``groups`` is (n_bank,)."""
    if kind == "faiss-flat":
        from adlib.neighbors._search_faiss import FaissFlatSearch  # noqa: PLC0415

        return FaissFlatSearch(points, groups)
    if device == "cpu":
        from adlib.neighbors._search_cpu import ExactSearchCPU  # noqa: PLC0415

        return ExactSearchCPU(points, groups)
    from adlib.neighbors._search_torch import ExactSearchTorch  # noqa: PLC0415

    return ExactSearchTorch(points, groups, device)
