"""How sure a metric is, judged by resampling the test images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib._validation import (
    check_int,
    check_option,
    check_random_state,
    check_ratio,
    describe,
    refusal,
)
from adlib.metrics._checks import check_callable, check_labels, check_labels_and_scores
from adlib.metrics._level_metrics import LEVEL_METRICS, MetricName, count_levels
from adlib.metrics._resampling import (
    Interval,
    Method,
    Plan,
    RowsStatistic,
    resampled_interval,
)

Metric: TypeAlias = Callable[[Int64Array, Float64Array], float]
Statistic: TypeAlias = Callable[[Int64Array], float]


def bootstrap_interval(
    metric: MetricName | Metric,
    y_true: Any,
    scores: Any,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "bca",
    random_state: int | None = 0,
) -> Interval:
    """Return a metric of image scores with its bootstrap interval.

    Normal and anomalous images are resampled apart, so that every resample has as many
    of each as there are. It says how far the figure depends on which images were
    tested, and nothing of how it depends on the training images or the seed.

    Args:
        metric: "auroc", "auprc" or "best_f1", whose threshold is chosen anew in each
            resample; or a function of labels, (n,) int64, and scores, (n,) float64,
            that returns a finite number.
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        confidence: In (0, 1).
        n_resamples: At least 1; some 2,000 steady the bounds to about a tenth of the
            interval's width.
        method: "bca" corrects the bounds for bias and skewness, which matter near 1;
            "percentile" takes the quantiles of the resamples as they are.
        random_state: Seeds the draws; None draws anew at every call.

    Returns:
        The metric of the images as they are, its bounds and their confidence.

    Raises:
        TypeError: An argument is not of the kind stated, or the function returns no
            number.
        ValueError: It is not in the range stated, shapes differ, a score is NaN or
            infinite, there are no normal or no anomalous images, or the function
            returns NaN or infinity.

    Note:
        Takes O((n_resamples + n) n) time and, for the named metrics, some 20 MB. Where
        all resamples agree, as they do when the scores separate the images perfectly,
        the interval is that single value: no resample shows an error that was never
        seen. An image that is the only one of its kind is part of every resample, so
        its share in the uncertainty is missing.

    References:
        1. Efron, "Better bootstrap confidence intervals", JASA 82, 1987.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import bootstrap_interval
        >>> y_true = np.repeat([0, 1], 40)
        >>> scores = np.random.default_rng(0).normal(y_true)
        >>> interval = bootstrap_interval("auroc", y_true, scores)
        >>> [round(number, 2) for number in interval]
        [0.83, 0.72, 0.91, 0.95]
    """
    owner = "bootstrap_interval"
    plan = _check_plan(owner, confidence, n_resamples, method, random_state)
    anomalous, values = check_labels_and_scores(y_true, scores, owner)
    if callable(metric):
        measure, labels = metric, anomalous.astype(np.int64)
        rows_statistic = _each_row(
            lambda rows: measure(labels[rows], values[rows]), "metric", owner
        )
    else:
        name = check_option(metric, "metric", owner, tuple(LEVEL_METRICS))
        rows_statistic = _all_rows(name, anomalous, values)
    return resampled_interval(rows_statistic, anomalous, plan)


def bootstrap_interval_of(
    statistic: Statistic,
    y_true: Any,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "bca",
    random_state: int | None = 0,
) -> Interval:
    """Return any statistic of images with its bootstrap interval.

    It serves what ``bootstrap_interval`` cannot: pixel metrics, whose sampling unit is
    the image, or the difference of two methods on the same images.

    Args:
        statistic: Given indices of images, (n,) int64 in ascending order, of which a
            resample repeats some, it returns a finite number.
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous); images of each kind
            are resampled apart. All may be of one kind.
        confidence: See ``bootstrap_interval``.
        n_resamples: See ``bootstrap_interval``.
        method: See ``bootstrap_interval``; "bca" asks for n further values.
        random_state: See ``bootstrap_interval``.

    Returns:
        The statistic of the images as they are, its bounds and their confidence.

    Raises:
        TypeError: As ``bootstrap_interval``, or ``statistic`` is no function.
        ValueError: As ``bootstrap_interval``.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import bootstrap_interval_of, compute_auroc
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.repeat([0, 1], 40)
        >>> a, b = rng.normal(2 * y_true), rng.normal(y_true)
        >>> def gained(i):
        ...     return compute_auroc(y_true[i], a[i]) - compute_auroc(y_true[i], b[i])
        >>> interval = bootstrap_interval_of(gained, y_true, n_resamples=200)
        >>> interval.low < interval.value < interval.high
        True
    """
    owner = "bootstrap_interval_of"
    plan = _check_plan(owner, confidence, n_resamples, method, random_state)
    anomalous = check_labels(y_true, owner)
    check_callable(statistic, "statistic", owner)
    return resampled_interval(_each_row(statistic, "statistic", owner), anomalous, plan)


def _check_plan(
    owner: str, confidence: Any, n_resamples: Any, method: Any, random_state: Any
) -> Plan:
    methods: tuple[Method, Method] = ("bca", "percentile")
    return Plan(
        check_ratio(confidence, "confidence", owner, closed=False),
        check_int(n_resamples, "n_resamples", owner, low=1),
        check_option(method, "method", owner, methods),
        check_random_state(random_state, "random_state", owner),
    )


def _all_rows(
    name: MetricName, anomalous: BoolArray, scores: Float64Array
) -> RowsStatistic:
    """Return what measures all rows of indices at once; scores are sorted once."""
    distinct, place = np.unique(-scores, return_inverse=True)

    def measure(rows: Int64Array) -> Float64Array:
        levels, kinds = place[rows], anomalous[rows]
        n_normal = count_levels(levels, ~kinds, len(distinct))
        return LEVEL_METRICS[name](n_normal, count_levels(levels, kinds, len(distinct)))

    return measure


def _each_row(statistic: Statistic, parameter: str, owner: str) -> RowsStatistic:
    """Return what asks a function about one row of indices after the other."""
    rule = "a function that returns a finite number"

    def measure(rows: Int64Array) -> Float64Array:
        values = np.empty(len(rows))
        # Sorted, so that a resample equal to the images gives the very same number.
        for position, row in enumerate(np.sort(rows, axis=1)):
            value = statistic(row)
            try:
                values[position] = float(value)
            except (TypeError, ValueError):
                raise TypeError(
                    refusal(parameter, owner, rule, describe(value))
                ) from None
            if not np.isfinite(values[position]):
                raise ValueError(refusal(parameter, owner, rule, describe(value)))
        return values

    return measure
