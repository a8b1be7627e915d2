"""Measure many weighted samples of the same images at once.

The distinct scores are levels, highest first. A sample, whatever it repeats or leaves
out, is then two rows of whole numbers: its normal and its anomalous images at each
level. All metrics of all samples follow from running sums along the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from adlib._typing import AnyArray, Float64Array, Int64Array

MetricName = Literal["auroc", "auprc", "best_f1"]
LevelMetric: TypeAlias = Callable[[Int64Array, Int64Array], Float64Array]


def count_levels(levels: AnyArray, chosen: AnyArray, n_levels: int) -> Int64Array:
    """Count each sample's images at each level.

    Args:
        levels: Level of each image of each sample, (n_samples, n) integers.
        chosen: Which of them to count, (n_samples, n) bool.
        n_levels: How many levels there are.

    Returns:
        (n_samples, n_levels) int64.
    """
    n_samples = len(levels)
    cells = levels + n_levels * np.arange(n_samples)[:, np.newaxis]
    counts = np.bincount(cells[chosen], minlength=n_samples * n_levels)
    return counts.reshape(n_samples, n_levels)


def auroc_of_levels(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return AUROC of each sample, (n_samples,); ties count half.

    Args:
        n_normal: Normal images at each level, (n_samples, n_levels), highest first.
        n_anomalous: Anomalous images, likewise.
    """
    found = np.cumsum(n_anomalous, axis=1)
    twice_won = np.sum(n_normal * (2 * found - n_anomalous), axis=1)
    pairs = found[:, -1] * n_normal.sum(axis=1)
    auroc: Float64Array = twice_won / (2 * pairs)
    return auroc


def auprc_of_levels(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return average precision of each sample; see ``auroc_of_levels``."""
    found = np.cumsum(n_anomalous, axis=1)
    called = found + np.cumsum(n_normal, axis=1)
    # Where nothing is called yet nothing is gained either, so any divisor does.
    precision = found / np.maximum(called, 1)
    auprc: Float64Array = np.sum(precision * n_anomalous, axis=1) / found[:, -1]
    return auprc


def best_f1_of_levels(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return the highest F1 of each sample; see ``auroc_of_levels``."""
    found = np.cumsum(n_anomalous, axis=1)
    called = found + np.cumsum(n_normal, axis=1)
    f1: Float64Array = np.max(2 * found / (called + found[:, -1:]), axis=1)
    return f1


LEVEL_METRICS: dict[MetricName, LevelMetric] = {
    "auroc": auroc_of_levels,
    "auprc": auprc_of_levels,
    "best_f1": best_f1_of_levels,
}
