"""Nearest-neighbour search against the size of the coreset."""

from __future__ import annotations

import numpy as np

from adlib.neighbors import SEARCH_KINDS, MemoryBank, greedy_coreset
from benchmarks._data import N_IMAGES, RATIOS, embeddings

APPROXIMATE = [kind for kind in SEARCH_KINDS if kind not in {"exact", "faiss-flat"}]
N_QUERIES = 2000  # patches that recall is tracked on


class Search:
    """Finding the nearest bank entry of one image's patches, and of sixteen's."""

    params = [RATIOS, list(SEARCH_KINDS), [1, 16]]
    param_names = ["coreset", "search", "n_images"]
    timeout = 600

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


class Approximate:
    """What an approximate index finds of what the exact search finds, and its cost.

    The bank is every n-th patch, so that it may be large; asked are patches that it
    does not hold, as ``PatchCore.fit`` asks them. Of a bank of a few hundred entries an
    index visits nearly all: recall below 1 shows in the large profile.
    """

    params = [[20, 2], APPROXIMATE]
    param_names = ["every", "search"]
    timeout = 600

    def setup(self, every, search):
        X = embeddings()
        others = np.flatnonzero(np.arange(len(X)) % every)
        if len(others) > N_QUERIES:
            rng = np.random.default_rng(0)
            others = np.sort(rng.choice(others, N_QUERIES, replace=False))
        self.bank = MemoryBank(X[::every], search=search, device="cpu")
        self.queries = X[others]

    def time_train(self, every, search):
        MemoryBank(self.bank.embeddings, search=search, device="cpu")

    def track_recall(self, every, search):
        return self.bank.recall(self.queries).recall

    def track_excess(self, every, search):
        recall = self.bank.recall(self.queries)
        return 100 * (recall.mean_distance / recall.mean_exact - 1)

    def track_index_size(self, every, search):
        return self.bank.index_bytes().nbytes / 2**20

    track_recall.unit = "recall@1"
    track_excess.unit = "% longer distances"
    track_index_size.unit = "MiB"
