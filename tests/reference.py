"""Slow, obvious twins of what adlib does fast. Float64, one step at a time."""

from __future__ import annotations

import numpy as np


def greedy_coreset(X, size, start):
    """Pick the farthest point, one at a time; ties to the lowest index."""
    X = np.asarray(X, dtype=np.float32).astype(np.float64)
    picked = [start]
    nearest = ((X - X[start]) ** 2).sum(axis=1)
    nearest[start] = -1.0
    while len(picked) < size:
        farthest = int(np.argmax(nearest))
        picked.append(farthest)
        nearest = np.minimum(nearest, ((X - X[farthest]) ** 2).sum(axis=1))
        nearest[picked] = -1.0
    return np.array(picked)


def kneighbors(bank, queries, n_neighbors, groups=None, left_out=None):
    """Measure every pair and sort by distance, then by index."""
    bank = np.asarray(bank, dtype=np.float32).astype(np.float64)
    queries = np.asarray(queries, dtype=np.float32).astype(np.float64)
    distances = np.empty((len(queries), n_neighbors))
    indices = np.empty((len(queries), n_neighbors), dtype=np.int64)
    for i, query in enumerate(queries):
        squared = ((bank - query) ** 2).sum(axis=1)
        if left_out is not None:
            squared[np.asarray(groups) == left_out[i]] = np.inf
        order = np.argsort(squared, kind="stable")[:n_neighbors]
        distances[i], indices[i] = np.sqrt(squared[order]), order
    return distances, indices
