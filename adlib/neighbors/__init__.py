"""The compiled core: greedy coreset, nearest-neighbour search, the memory bank."""

from adlib.neighbors._bank import MemoryBank, Neighbours, Recall
from adlib.neighbors._coreset import greedy_coreset

__all__ = ["MemoryBank", "Neighbours", "Recall", "greedy_coreset"]
