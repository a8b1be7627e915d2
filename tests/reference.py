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


def concat_embedding(maps):
    """Average each 3x3 neighbourhood, bring stages to the first grid, and join them."""
    grid = maps[0].shape[-2:]
    means = [_neighbourhoods(stage).mean(axis=2) for stage in maps]
    joined = np.concatenate([_bilinear(mean, grid) for mean in means], axis=1)
    return joined.transpose(0, 2, 3, 1)


def paper_embedding(maps, n_features=1024):
    """Do what the published PatchCore code does, step by step."""
    grid = maps[0].shape[-2:]
    pooled = []
    for stage in maps:
        unfolded = _neighbourhoods(stage)
        n, channels, nine, height, width = unfolded.shape
        values = unfolded.reshape(n, channels * nine, height, width)
        values = _bilinear(values, grid).transpose(0, 2, 3, 1)
        pooled.append(_adaptive_average(values, n_features))
    stacked = np.concatenate(pooled, axis=-1)
    return _adaptive_average(stacked, n_features)


def _neighbourhoods(stage):
    """Unfold (n, c, h, w) to (n, c, 9, h, w) with zero padding."""
    height, width = stage.shape[-2:]
    padded = np.pad(stage.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = [
        padded[:, :, dy : dy + height, dx : dx + width]
        for dy in range(3)
        for dx in range(3)
    ]
    return np.stack(windows, axis=2)


def _bilinear(planes, grid):
    """Resize (n, c, h, w) with half-pixel centres (align_corners=False)."""
    for axis, size in zip((2, 3), grid, strict=True):
        length = planes.shape[axis]
        place = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = (place - low).reshape((-1, 1) if axis == 2 else (-1,))
        planes = (1 - weight) * planes.take(low, axis) + weight * planes.take(
            high, axis
        )
    return planes


def _adaptive_average(values, n_out):
    """Average the last axis in ``n_out`` windows, as adaptive_avg_pool1d does."""
    n_in = values.shape[-1]
    columns = [
        values[..., k * n_in // n_out : -(-(k + 1) * n_in // n_out)].mean(axis=-1)
        for k in range(n_out)
    ]
    return np.stack(columns, axis=-1)


def mahalanobis(learned, asked, regularization):
    """Fit a Gaussian at every position and invert its covariance, as PaDiM says."""
    learned, asked = np.asarray(learned, np.float64), np.asarray(asked, np.float64)
    n_images, n_positions, n_features = learned.shape
    distances = np.empty(asked.shape[:2])
    for p in range(n_positions):
        covariance = regularization * np.eye(n_features)
        if n_images > 1:
            covariance += np.atleast_2d(np.cov(learned[:, p], rowvar=False))
        inverse = np.linalg.inv(covariance)
        for i, x in enumerate(asked[:, p] - learned[:, p].mean(axis=0)):
            distances[i, p] = np.sqrt(x @ inverse @ x)
    return distances
