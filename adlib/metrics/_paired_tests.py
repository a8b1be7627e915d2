"""Whether two methods differ on the same images, or over the same classes or seeds."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import check_int, check_option, check_random_state, refusal
from adlib.metrics._checks import check_labels_and_scores, check_scores
from adlib.metrics._delong import PairedTest, divide_by_error
from adlib.metrics._level_metrics import LEVEL_METRICS, MetricName, count_levels

Correction: TypeAlias = Literal["holm", "benjamini-hochberg"]
CORRECTIONS: tuple[Correction, ...] = ("holm", "benjamini-hochberg")
CONFIDENCE = 0.95
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

    If the methods were the same, it would not matter which of an image's two scores
    came from which. So for every resample each image's two scores are exchanged or not,
    by chance, and the p-value is the share of resamples, the observed one included,
    whose difference is at least as large. As the methods' scales have nothing to do
    with each other, scores are first replaced by their mid-ranks, which changes no
    metric of order.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores_a: The first method's, (n,) finite numbers, higher = more anomalous.
        scores_b: The second method's, on any scale of its own.
        metric: "auroc", "auprc" or "best_f1".
        n_resamples: How many, at least 1; no p-value is below 1 / (n_resamples + 1).
        random_state: Seeds the exchanges; None draws anew at every call.

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
            LEVEL_METRICS[name](
                count_levels(rows, np.broadcast_to(~anomalous, rows.shape), n_levels),
                count_levels(rows, np.broadcast_to(anomalous, rows.shape), n_levels),
            )
            for rows in (first, second)
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
    margin = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    return PairedTest(
        difference=observed,
        standard_error=error,
        statistic=divide_by_error(observed, error),
        p_value=(n_extreme + 1) / (n_resamples + 1),
        low=observed - margin,
        high=observed + margin,
    )


def paired_t_test(values_a: Any, values_b: Any) -> PairedTest:
    """Test whether two methods' figures differ over the same classes or seeds.

    Args:
        values_a: The first method's, (n,) finite numbers, n at least 2.
        values_b: The second method's, for the same classes or seeds in order.

    Returns:
        Student's paired t-test, both-sided, with the 95 % interval of the mean
        difference. Equal figures throughout have a p-value of 1; differences that are
        all the same have no spread, and a p-value of 0.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, there are fewer than two, or one is NaN or infinite.

    Note:
        It takes differences as normally distributed, which few classes cannot show.

    Example:
        >>> from adlib.metrics import paired_t_test
        >>> test = paired_t_test([0.9, 0.8, 0.95, 0.7], [0.85, 0.8, 0.9, 0.6])
        >>> round(test.difference, 3), round(test.p_value, 3)
        (0.05, 0.092)
    """
    owner = "paired_t_test"
    a = check_scores(values_a, "values_a", owner)
    b = check_scores(values_b, "values_b", owner)
    if len(a) != len(b) or len(a) < 2:  # noqa: PLR2004 - one pair has no spread
        rule = f"two or more, as many as values_a ({len(a)})"
        raise ValueError(refusal("values_b", owner, rule, f"{len(b)}"))
    differences = a - b
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(len(a)))
    if np.ptp(differences) == 0.0:  # the deviation may have been rounded above 0
        statistic = 0.0 if mean == 0.0 else float(np.copysign(np.inf, mean))
        p_value = 1.0 if mean == 0.0 else 0.0
        return PairedTest(mean, 0.0, statistic, p_value, mean, mean)
    found = stats.ttest_rel(a, b)
    interval = found.confidence_interval(CONFIDENCE)
    return PairedTest(
        mean,
        error,
        float(found.statistic),
        float(found.pvalue),
        float(interval.low),
        float(interval.high),
    )


def corrected_p_values(p_values: Any, method: Correction = "holm") -> Float64Array:
    """Return p-values corrected for how many tests were made.

    Args:
        p_values: (n_tests,), in [0, 1].
        method: "holm" bounds the chance of any false discovery, "benjamini-hochberg"
            the expected share of false ones among the discoveries.

    Returns:
        (n_tests,), in the same order, each to be compared with the level as it is.

    Raises:
        TypeError: They are not numbers.
        ValueError: They are not (n_tests,), or not in [0, 1].

    References:
        1. S. Holm, "A simple sequentially rejective multiple test procedure",
           Scandinavian Journal of Statistics 6, 1979.
        2. Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", Journal
           of the Royal Statistical Society B 57, 1995.

    Example:
        >>> from adlib.metrics import corrected_p_values
        >>> corrected_p_values([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    owner = "corrected_p_values"
    values = check_scores(p_values, "p_values", owner)
    if values.min() < 0.0 or values.max() > 1.0:
        came = f"{values.min():g} to {values.max():g}"
        raise ValueError(refusal("p_values", owner, "in [0, 1]", came))
    check_option(method, "method", owner, CORRECTIONS)
    order = np.argsort(values, kind="stable")
    n_tests = len(values)
    if method == "holm":
        n_left = np.arange(n_tests, 0, -1)
        rising = np.maximum.accumulate(values[order] * n_left)
    else:
        factors = n_tests / np.arange(1, n_tests + 1)
        rising = np.minimum.accumulate((values[order] * factors)[::-1])[::-1]
    corrected = np.empty(n_tests)
    corrected[order] = np.minimum(rising, 1.0)
    return corrected
