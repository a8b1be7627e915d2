"""The ways to search a memory bank, by name."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

SearchKind: TypeAlias = Literal[
    "exact", "faiss-flat", "faiss-ivf", "faiss-hnsw", "faiss-ivfpq", "faiss-sq"
]
SEARCH_KINDS: tuple[SearchKind, ...] = get_args(SearchKind)
UNTRAINED: tuple[SearchKind, ...] = ("exact", "faiss-flat")
