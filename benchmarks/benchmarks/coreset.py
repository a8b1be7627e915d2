"""The greedy coreset against its size."""

from __future__ import annotations

import numpy as np

from adlib.neighbors import MemoryBank, greedy_coreset
from benchmarks._data import RATIOS, embeddings


class GreedyCoreset:
    """Selecting a coreset, and how well it covers the patches."""

    params = [RATIOS]
    param_names = ["coreset"]

    def setup(self, ratio):
        self.X = embeddings()
        self.size = int(len(self.X) * ratio)
        greedy_coreset(self.X[:2000], 50, start=0, device="cpu")  # compile

    def time_select(self, ratio):
        greedy_coreset(self.X, self.size, start=0, device="cpu")

    def peakmem_select(self, ratio):
        greedy_coreset(self.X, self.size, start=0, device="cpu")

    def track_covering_radius(self, ratio):
        picked = greedy_coreset(self.X, self.size, start=0, device="cpu")
        bank = MemoryBank(self.X[picked], device="cpu")
        return float(np.max(bank.kneighbors(self.X).distances))

    track_covering_radius.unit = "distance"
