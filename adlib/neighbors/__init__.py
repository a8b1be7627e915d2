"""The compiled core: greedy coreset, nearest-neighbour search, the memory bank."""

from adlib.neighbors._bank import MemoryBank, Neighbours, Recall
from adlib.neighbors._coreset import greedy_coreset
from adlib.neighbors._projection import random_projection
from adlib.neighbors._search import SEARCH_KINDS, UNTRAINED, Search, SearchKind

__all__ = [
    "SEARCH_KINDS",
    "UNTRAINED",
    "MemoryBank",
    "Neighbours",
    "Recall",
    "Search",
    "SearchKind",
    "greedy_coreset",
    "random_projection",
]
