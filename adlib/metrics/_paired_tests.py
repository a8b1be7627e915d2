"""Tests of whether two methods differ, beside DeLong's."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import check_int, check_option, check_random_state
from adlib.metrics._checks import check_labels_and_scores, check_scores
from adlib.metrics._delong import CONFIDENCE, PairedTest, normal_test
from adlib.metrics._levels import LEVEL_METRICS, MetricName, measure_samples

HALF = 0.5  # the chance of an exchange
CELLS = 2**20  # of counts at a time


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
    return normal_test(observed, error, (n_extreme + 1) / (n_resamples + 1))


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
