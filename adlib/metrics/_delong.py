"""DeLong's interval of an AUROC, and his test of two, without resampling.

The placement of an image is the share of images of the other kind that it is on the
right side of. AUROC is the mean of the placements, and their variance gives its
standard error.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import check_ratio
from adlib.metrics._bootstrap import Interval
from adlib.metrics._checks import check_labels_and_scores

CONFIDENCE = 0.95  # of the bounds of a difference


class PairedTest(NamedTuple):
    """Whether two methods differ on the same images or classes.

    Attributes:
        difference: The first method's value minus the second's.
        standard_error: Of the difference.
        statistic: Difference / standard error; 0 where there is no difference, NaN
            where there is one without any spread.
        p_value: Two-sided; 1 and NaN where the statistic is 0 and NaN for want of
            spread.
        low: Lower bound of the difference at 95 percent confidence.
        high: Upper bound.
    """

    difference: float
    standard_error: float
    statistic: float
    p_value: float
    low: float
    high: float


def delong_interval(y_true: Any, scores: Any, confidence: float = 0.95) -> Interval:
    """Return AUROC with its interval by DeLong's standard error.

    The bounds are symmetric and cut at 0 and 1. With few images they are somewhat too
    narrow: of 40 normal and 60 anomalous ones, 95 percent held the truth in 926 of 1000
    simulations. There, and near 1, prefer ``bootstrap_interval``.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        confidence: In (0, 1).

    Returns:
        AUROC and its bounds, in [0, 1].

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, a score is NaN or infinite, a label is neither 0 nor
            1, ``confidence`` is out of range, or there are fewer than two normal or two
            anomalous images.

    Note:
        Takes O(n log n) by mid-ranks [2].

    References:
        1. DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more
           correlated ROC curves", Biometrics 44, 1988.
        2. Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal
           Processing Letters 21, 2014.

    Example:
        >>> from adlib.metrics import delong_interval
        >>> interval = delong_interval([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
        >>> [round(number, 3) for number in interval]
        [0.889, 0.581, 1.0, 0.95]
    """
    owner = "delong_interval"
    share = check_ratio(confidence, "confidence", owner, closed=False)
    anomalous, values = check_labels_and_scores(y_true, scores, owner, fewest=2)
    auroc, error = _mean_and_error(anomalous, _twice_placed(anomalous, values))
    margin = float(special.ndtri((1 + share) / 2)) * error
    return Interval(auroc, max(auroc - margin, 0.0), min(auroc + margin, 1.0), share)


def delong_test(y_true: Any, scores_a: Any, scores_b: Any) -> PairedTest:
    """Test whether the AUROCs of two methods differ on the same images.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores_a: The first method's, (n,) finite numbers, higher = more anomalous.
        scores_b: The second method's, on any scale of its own.

    Returns:
        The test with AUROC a - AUROC b as difference. Without any spread, as when one
        method is perfect and the other constant, ``paired_permutation_test`` still
        gives a p-value.

    Raises:
        TypeError, ValueError: As ``delong_interval``.

    References:
        Those of ``delong_interval``.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import delong_test
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.repeat([0, 1], 50)
        >>> found = delong_test(y_true, rng.normal(2 * y_true), rng.normal(y_true))
        >>> round(found.difference, 3), round(found.p_value, 4)
        (0.185, 0.0012)
    """
    owner = "delong_test"
    anomalous, a = check_labels_and_scores(
        y_true, scores_a, owner, fewest=2, parameter="scores_a"
    )
    _, b = check_labels_and_scores(y_true, scores_b, owner, parameter="scores_b")
    gained = _twice_placed(anomalous, a) - _twice_placed(anomalous, b)
    return normal_test(*_mean_and_error(anomalous, gained))


def normal_test(
    difference: float, error: float, p_value: float | None = None
) -> PairedTest:
    """Return the test of a normally distributed difference; None: with its p-value."""
    if error > 0:
        statistic = difference / error
    else:
        statistic = 0.0 if difference == 0 else math.nan
    if p_value is None:
        p_value = float(2 * special.ndtr(-abs(statistic)))
    margin = float(special.ndtri((1 + CONFIDENCE) / 2)) * error
    bounds = difference - margin, difference + margin
    return PairedTest(difference, error, statistic, p_value, *bounds)


def _twice_placed(anomalous: BoolArray, scores: Float64Array) -> Float64Array:
    """Return how many images of the other kind each image beats, twice, (n,).

    Ties count one: whole numbers, so that equal methods differ by exactly 0. They are
    ranks among all images minus those among one's own kind.
    """
    placed: Float64Array = stats.rankdata(scores)
    for kind in (anomalous, ~anomalous):
        placed[kind] -= stats.rankdata(scores[kind])
    return np.where(anomalous, 2 * placed, 2 * (anomalous.sum() - placed))


def _mean_and_error(anomalous: BoolArray, placed: Float64Array) -> tuple[float, float]:
    """Return the mean placement, and its standard error: both kinds' variances add."""
    shares = [
        placed[kind] / (2 * np.count_nonzero(~kind)) for kind in (~anomalous, anomalous)
    ]
    variance = sum(np.var(of_kind, ddof=1) / len(of_kind) for of_kind in shares)
    return float(shares[1].mean()), math.sqrt(variance)
