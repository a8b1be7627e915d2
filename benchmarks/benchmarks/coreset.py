"""The greedy coreset against its size, the points, their dimension, and threads.

``BASE_SIZE`` points are selected where the size is not what varies.
"""

from __future__ import annotations

import numpy as np

from adlib.neighbors import MemoryBank, greedy_coreset
from benchmarks._data import DIMENSIONS, LARGE, POINTS, RATIOS, embeddings, turned
from benchmarks._threads import THREADS, restore_threads, use_threads

BASE_SIZE = 2_940 if LARGE else 300


class _Selection:
    """Selecting a coreset, and how well it covers the patches."""

    def prepare(self, X, size):
        self.X = X
        self.size = size
        greedy_coreset(X[:1000], 50, start=0, device="cpu")  # compile

    def time_select(self, value):
        self._select()

    def peakmem_select(self, value):
        self._select()

    def track_covering_radius(self, value):
        bank = MemoryBank(self.X[self._select()], device="cpu")
        return float(np.max(bank.kneighbors(self.X).distances))

    track_covering_radius.unit = "distance"

    def _select(self):
        return greedy_coreset(self.X, self.size, start=0, device="cpu")


class CoresetSize(_Selection):
    params = [RATIOS]
    param_names = ["coreset"]

    def setup(self, ratio):
        X = embeddings()
        self.prepare(X, int(len(X) * ratio))


class NumberOfPoints(_Selection):
    params = [POINTS]
    param_names = ["n_points"]

    def setup(self, n_points):
        # Spread over all images, so that fewer points are not fewer textures.
        X = embeddings()
        steps = np.linspace(0, len(X) - 1, min(n_points, len(X))).astype(int)
        self.prepare(X[steps], BASE_SIZE)


class Dimension(_Selection):
    params = [DIMENSIONS]
    param_names = ["n_features"]

    def setup(self, n_features):
        self.prepare(turned(n_features), BASE_SIZE)


class ThreadCount(_Selection):
    params = [THREADS]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        use_threads(n_threads)
        self.prepare(embeddings(), BASE_SIZE)

    def teardown(self, n_threads):
        restore_threads()
