"""The compiled core: greedy coreset, nearest-neighbour search, the memory bank."""

from adlib.neighbors._bank import MemoryBank, Neighbours, Recall
from adlib.neighbors._coreset import greedy_coreset
from adlib.neighbors._projection import random_projection
from adlib.neighbors._search import Search
from adlib.neighbors._search_kinds import SEARCH_KINDS, UNTRAINED, SearchKind

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
