"""Nearest-neighbour search against the size of the coreset."""

from __future__ import annotations

from adlib.neighbors import MemoryBank, greedy_coreset
from benchmarks._data import N_IMAGES, RATIOS, embeddings


class Search:
    """Finding the nearest bank entry of one image's patches, and of sixteen's."""

    params = [RATIOS, ["exact", "faiss-flat"], [1, 16]]
    param_names = ["coreset", "search", "n_images"]

    def setup(self, ratio, search, n_images):
        X = embeddings()
        picked = greedy_coreset(X, int(len(X) * ratio), start=0, device="cpu")
        self.bank = MemoryBank(X[picked], search=search, device="cpu")
        n_patches = len(X) // N_IMAGES
        self.queries = X[: n_images * n_patches] * 1.01
        self.bank.kneighbors(self.queries)  # compile

    def time_kneighbors(self, ratio, search, n_images):
        self.bank.kneighbors(self.queries)

    def peakmem_kneighbors(self, ratio, search, n_images):
        self.bank.kneighbors(self.queries)
