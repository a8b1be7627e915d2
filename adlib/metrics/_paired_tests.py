"""Intervals and tests of AUROC by DeLong, and other tests of two methods.

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
from adlib._validation import check_int, check_option, check_random_state, check_ratio
from adlib.metrics._bootstrap import Interval
from adlib.metrics._checks import check_labels_and_scores, check_scores
from adlib.metrics._image_metrics import LEVEL_METRICS, MetricName, measure_samples

CONFIDENCE = 0.95  # of the bounds of a difference
HALF = 0.5  # the chance of an exchange
CELLS = 2**20  # of counts at a time


class PairedTest(NamedTuple):
    """Whether two methods differ on the same images or classes.

    Attributes:
        difference: The first method's value minus the second's.
        standard_error: Of the difference.
        statistic: Difference / standard error; 0 where there is no difference, NaN
            where there is one without any spread.
        p_value: Two-sided; NaN where the statistic is.
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
    """Return AUROC with its interval by DeLong's standard error, in O(n log n) [2].

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
        TypeError, ValueError: As ``compute_auroc``; or ``confidence`` is out of range,
            or there are fewer than two normal or two anomalous images.

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
        The test of AUROC a - AUROC b. Without any spread, as when one method is perfect
        and the other constant, only ``paired_permutation_test`` gives a p-value.

    Raises:
        TypeError, ValueError: As ``delong_interval``.

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
    return _normal_test(*_mean_and_error(anomalous, gained))


def paired_permutation_test(
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    metric: MetricName = "auroc",
    *,
    n_resamples: int = 2000,
    random_state: int | None = 0,
) -> PairedTest:
    """Test whether a metric of two methods differs, by exchanging their scores.

    Under the null hypothesis the two scores of an image are exchangeable. Each resample
    exchanges them or not, by chance; the p-value is the share of resamples, the
    observed one included, whose absolute difference is at least as large. The methods'
    scales may differ, so scores are first replaced by their mid-ranks, which changes no
    metric of order.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores_a: The first method's, (n,) finite numbers, higher = more anomalous.
        scores_b: The second method's, on any scale of its own.
        metric: "auroc", "average_precision" or "best_f1".
        n_resamples: How many, at least 1; no p-value is below 1 / (n_resamples + 1).
        random_state: Seeds the exchanges; None draws others at every call.

    Returns:
        The test. Its standard error is the spread of the resampled differences, and its
        bounds are the difference plus and minus 1.96 of these.

    Raises:
        TypeError, ValueError: Scores or another argument are not as stated.

    References:
        1. B. Phipson and G. K. Smyth, "Permutation p-values should never be zero",
           Statistical Applications in Genetics and Molecular Biology 9, 2010.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import paired_permutation_test
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.repeat([0, 1], 50)
        >>> a, b = rng.normal(2 * y_true), rng.normal(y_true)
        >>> test = paired_permutation_test(y_true, a, b)
        >>> bool(test.p_value < 0.01)
        True
    """
    owner = "paired_permutation_test"
    anomalous, a = check_labels_and_scores(
        y_true, scores_a, owner, parameter="scores_a"
    )
    _, b = check_labels_and_scores(y_true, scores_b, owner, parameter="scores_b")
    name = check_option(metric, "metric", owner, tuple(LEVEL_METRICS))
    n_resamples = check_int(n_resamples, "n_resamples", owner, low=1)
    rng = np.random.default_rng(check_random_state(random_state, "random_state", owner))
    # From the highest rank down, as levels are counted.
    ranks = -np.stack([stats.rankdata(a), stats.rankdata(b)])
    levels, place = np.unique(ranks, return_inverse=True)
    place = place.reshape(ranks.shape)  # which NumPy 2.0 alone does not flatten

    def differences(exchanged: BoolArray) -> Float64Array:
        first = np.where(exchanged, place[1], place[0])
        second = np.where(exchanged, place[0], place[1])
        of_first, of_second = (
            measure_samples(name, rows, anomalous, n_levels) for rows in (first, second)
        )
        return of_first - of_second

    n_levels, n_images = len(levels), len(a)
    observed = float(differences(np.zeros((1, n_images), np.bool_))[0])
    # An exchange for every image at every resample, whatever the parts they come in.
    n_rows = max(1, CELLS // n_levels)
    resampled = np.concatenate(
        [
            differences(rng.random((min(n_rows, n_resamples - first), n_images)) < HALF)
            for first in range(0, n_resamples, n_rows)
        ]
    )
    # What rounding parts from the observed difference must count as equal to it.
    n_extreme = int(np.sum(np.abs(resampled) >= abs(observed) - 1e-12))
    error = float(np.sqrt(np.mean(resampled**2)))
    return _normal_test(observed, error, (n_extreme + 1) / (n_resamples + 1))


def paired_t_test(values_a: Float64Array, values_b: Float64Array) -> PairedTest:
    """Return Student's paired t-test of values over the same classes, two at least.

    ``scipy.stats.ttest_rel`` has no p-value where all differences are equal: here it is
    1 where they are 0, and else 0.
    """
    differences = values_a - values_b
    mean = float(differences.mean())
    if np.ptp(differences) == 0.0:  # the deviation may have been rounded above 0
        statistic = 0.0 if mean == 0.0 else float(np.copysign(np.inf, mean))
        return PairedTest(mean, 0.0, statistic, float(mean == 0.0), mean, mean)
    found = stats.ttest_rel(values_a, values_b)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    statistic, p_value = float(found.statistic), float(found.pvalue)
    low, high = map(float, found.confidence_interval(CONFIDENCE))
    return PairedTest(mean, error, statistic, p_value, low, high)


def corrected_p_values(p_values: Any) -> Float64Array:
    """Return p-values corrected for the number of tests, (n_tests,), in their order.

    Holm's method (1979), which SciPy lacks, bounds the chance of any false discovery.
    """
    values = check_scores(p_values, "p_values", "corrected_p_values")
    order = np.argsort(values, kind="stable")
    n_left = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * n_left), 1.0)
    return corrected


def _normal_test(
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
