"""Count images at every distinct score; AUROC, average precision and F1 follow.

The distinct scores are levels, highest first. A sample of the images is two rows of
whole numbers: its normal and its anomalous images at each level. Many samples, such as
bootstrap resamples, are measured at once, along the last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from adlib._typing import AnyArray, BoolArray, Float64Array, Int64Array

MetricName = Literal["auroc", "average_precision", "best_f1"]


class BestF1(NamedTuple):
    """The highest F1, in [0, 1], and its threshold."""

    f1: float
    threshold: float


class Levels(NamedTuple):
    """The distinct scores, falling, and how many images score at each, (n_levels,)."""

    scores: Float64Array
    n_normal: Int64Array
    n_anomalous: Int64Array

    @property
    def thresholds(self) -> Float64Array:
        """What exactly the images down to each level exceed: the middle to the next."""
        below = np.append(self.scores[1:], np.nextafter(self.scores[-1], -np.inf))
        middle = below / 2 + self.scores / 2  # the sum could overflow
        # Between neighbours there is no middle; it would be rounded to one of them.
        between = (below < middle) & (middle < self.scores)
        return np.where(between, middle, below)


def levels_of(anomalous: BoolArray, scores: Float64Array) -> Levels:
    """Count the normal and anomalous images at each distinct score."""
    falling, place = np.unique(-scores, return_inverse=True)
    counts = (
        np.bincount(place[kind], minlength=len(falling))
        for kind in (~anomalous, anomalous)
    )
    return Levels(-falling, *counts)


def auroc(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return AUROC; pairs are counted in whole numbers, and ties count half.

    The normal and anomalous images at each level, (..., n_levels), are highest first.
    """
    found = np.cumsum(n_anomalous, axis=-1)
    twice_won = np.sum(n_normal * (2 * found - n_anomalous), axis=-1)
    return np.asarray(twice_won / (2 * found[..., -1] * n_normal.sum(axis=-1)))


def average_precision(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return average precision; see ``auroc``."""
    found = np.cumsum(n_anomalous, axis=-1)
    flagged = found + np.cumsum(n_normal, axis=-1)
    # Where nothing is flagged yet nothing is gained either, so any divisor does.
    precision = found / np.maximum(flagged, 1)
    return np.asarray(np.sum(precision * n_anomalous, axis=-1) / found[..., -1])


def f1_of_levels(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return F1 of a threshold below each level, (..., n_levels); see ``auroc``."""
    found = np.cumsum(n_anomalous, axis=-1)
    flagged = found + np.cumsum(n_normal, axis=-1)
    return np.asarray(2 * found / (flagged + found[..., -1:]))


LEVEL_METRICS: dict[MetricName, Callable[[Int64Array, Int64Array], Float64Array]] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "best_f1": lambda *counts: f1_of_levels(*counts).max(axis=-1),
}


def measure_samples(
    name: MetricName, place: AnyArray, anomalous: AnyArray, n_levels: int
) -> Float64Array:
    """Return a metric of each sample of images, (n_samples,).

    ``place`` is the level of each image, (n_samples, n); ``anomalous`` which images
    are, likewise or (n,).
    """
    cells = place + n_levels * np.arange(len(place))[:, np.newaxis]
    kinds = np.broadcast_to(anomalous, cells.shape)
    n_normal, n_anomalous = (
        np.bincount(cells[kind], minlength=n_levels * len(place)).reshape(-1, n_levels)
        for kind in (~kinds, kinds)
    )
    return LEVEL_METRICS[name](n_normal, n_anomalous)
