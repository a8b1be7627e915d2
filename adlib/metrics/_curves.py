"""Every threshold that matters, and what is found and falsely called at each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib.metrics._checks import check_labels_and_scores


class RocCurve(NamedTuple):
    """True against false positives, from no image called anomalous to all.

    Attributes:
        false_positive_rates: (n_points,) float64, rising from 0 to 1.
        true_positive_rates: (n_points,) float64, rising from 0 to 1.
        thresholds: What scores exceed at each point, (n_points,), falling.
    """

    false_positive_rates: Float64Array
    true_positive_rates: Float64Array
    thresholds: Float64Array


class PrecisionRecallCurve(NamedTuple):
    """Precision against recall, from the highest score alone to all images.

    Attributes:
        precisions: (n_points,) float64.
        recalls: (n_points,) float64, rising to 1.
        thresholds: What scores exceed at each point, (n_points,), falling.
    """

    precisions: Float64Array
    recalls: Float64Array
    thresholds: Float64Array


class Counts(NamedTuple):
    """How many images score at or above each distinct score, highest first.

    Attributes:
        levels: The distinct scores, (n,) float64, falling.
        n_anomalous: Anomalous images at or above each, (n,) int64.
        n_normal: Normal images at or above each, (n,) int64.
    """

    levels: Float64Array
    n_anomalous: Int64Array
    n_normal: Int64Array

    @property
    def thresholds(self) -> Float64Array:
        """What exactly these images exceed: half way down to the next score."""
        below = np.append(self.levels[1:], np.nextafter(self.levels[-1], -np.inf))
        middle = below / 2 + self.levels / 2  # the sum could overflow
        # Between neighbours there is no middle; it would be rounded to one of them.
        between = (below < middle) & (middle < self.levels)
        return np.where(between, middle, below)

    @property
    def f1(self) -> Float64Array:
        """F1 of calling these images anomalous."""
        called = self.n_anomalous + self.n_normal
        f1: Float64Array = 2 * self.n_anomalous / (called + self.n_anomalous[-1])
        return f1


def count_scores(anomalous: BoolArray, scores: Float64Array) -> Counts:
    """Count images at every distinct score; equal scores are one level.

    Args:
        anomalous: Which images are anomalous, (n,) bool.
        scores: (n,) float64, finite.
    """
    levels, place = np.unique(scores, return_inverse=True)
    n_levels = len(levels)
    at_anomalous = np.bincount(place[anomalous], minlength=n_levels)
    at_normal = np.bincount(place[~anomalous], minlength=n_levels)
    return Counts(
        levels[::-1], np.cumsum(at_anomalous[::-1]), np.cumsum(at_normal[::-1])
    )


def roc_curve(y_true: Any, scores: Any) -> RocCurve:
    """Return the ROC curve with a point for every distinct score.

    Images with equal scores pass a threshold together, so the curve runs straight
    across them. A threshold lies half way between two neighbouring scores; the first is
    the highest score itself, which none exceeds.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        Rates and thresholds, one more than there are distinct scores.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, a score is NaN or infinite, a label is neither 0 nor
            1, or there are no normal or no anomalous ones.

    Note:
        O(n log n) for n images.

    Example:
        >>> from adlib.metrics import roc_curve
        >>> curve = roc_curve([0, 0, 1, 1], [1.0, 2.0, 2.0, 3.0])
        >>> curve.false_positive_rates.tolist(), curve.true_positive_rates.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    counts = count_scores(*check_labels_and_scores(y_true, scores, "roc_curve"))
    return RocCurve(
        np.append(0.0, counts.n_normal / counts.n_normal[-1]),
        np.append(0.0, counts.n_anomalous / counts.n_anomalous[-1]),
        np.append(counts.levels[0], counts.thresholds),
    )


def precision_recall_curve(y_true: Any, scores: Any) -> PrecisionRecallCurve:
    """Return precision and recall at every distinct score; see ``roc_curve``.

    The point of no image, whose precision nobody knows, is left out.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        A point for every distinct score, the highest first.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, a score is NaN or infinite, a label is neither 0 nor
            1, or there are no normal or no anomalous ones.

    Example:
        >>> from adlib.metrics import precision_recall_curve
        >>> curve = precision_recall_curve([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
        >>> curve.precisions.round(2).tolist(), curve.recalls.tolist()
        ([1.0, 0.5, 0.67, 0.5], [0.5, 0.5, 1.0, 1.0])
    """
    owner = "precision_recall_curve"
    counts = count_scores(*check_labels_and_scores(y_true, scores, owner))
    return PrecisionRecallCurve(
        counts.n_anomalous / (counts.n_anomalous + counts.n_normal),
        counts.n_anomalous / counts.n_anomalous[-1],
        counts.thresholds,
    )
