"""Nearest-neighbour search against the bank, its dimension, queries and threads."""

from __future__ import annotations

from typing import get_args

import numpy as np

from adlib.neighbors import MemoryBank
from adlib.neighbors._bank import SearchKind
from benchmarks._data import (
    BANKS,
    DIMENSIONS,
    N_IMAGES,
    bank_rows,
    embeddings,
    turned,
)
from benchmarks._threads import THREADS, restore_threads, use_threads

APPROXIMATE = [
    kind for kind in get_args(SearchKind) if kind not in {"exact", "faiss-flat"}
]
BASE_BANK = BANKS[1]
RECALL_QUERIES = 2000


def _one_image(X):
    """Return one image's patches, moved off those that the bank may hold."""
    return X[: len(X) // N_IMAGES] * 1.01


class _Search:
    """Finding the nearest bank entry of patches."""

    timeout = 600

    def prepare(self, rows, queries, search="exact"):
        self.bank = MemoryBank(rows, search=search, device="cpu")
        self.queries = queries
        self.bank.kneighbors(queries[:16])  # compile

    def time_kneighbors(self, *values):
        self.bank.kneighbors(self.queries)

    def peakmem_kneighbors(self, *values):
        self.bank.kneighbors(self.queries)


class BankSize(_Search):
    params = [BANKS, list(get_args(SearchKind))]
    param_names = ["n_bank", "search"]

    def setup(self, n_bank, search):
        self.prepare(bank_rows(n_bank), _one_image(embeddings()), search)


class Dimension(_Search):
    params = [DIMENSIONS]
    param_names = ["n_features"]

    def setup(self, n_features):
        X = turned(n_features)
        self.prepare(X[:: len(X) // BASE_BANK], _one_image(X))


class Queries(_Search):
    params = [[1, 100, 3200]]
    param_names = ["n_queries"]

    def setup(self, n_queries):
        self.prepare(bank_rows(BASE_BANK), embeddings()[:n_queries] * 1.01)


class ThreadCount(_Search):
    params = [THREADS]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        use_threads(n_threads)
        self.prepare(bank_rows(BASE_BANK), _one_image(embeddings()))

    def teardown(self, n_threads):
        restore_threads()


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
        if len(others) > RECALL_QUERIES:
            rng = np.random.default_rng(0)
            others = np.sort(rng.choice(others, RECALL_QUERIES, replace=False))
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
