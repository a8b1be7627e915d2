"""Bootstrap intervals of metrics and of any statistic of the test images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from scipy import special

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib._validation import (
    check_int,
    check_option,
    check_random_state,
    check_ratio,
    describe,
    refusal,
)
from adlib.metrics._checks import check_labels, check_labels_and_scores
from adlib.metrics._image_metrics import LEVEL_METRICS, MetricName, measure_samples

Method = Literal["bca", "percentile"]
# Of rows of image indices: all images, resamples, or all but one.
RowsStatistic: TypeAlias = Callable[[Int64Array], Float64Array]

CELLS = 2**18  # image indices that are looked at together; bounds the memory


class Interval(NamedTuple):
    """A value, the bounds of its interval, and their confidence, in (0, 1)."""

    value: float
    low: float
    high: float
    confidence: float


def bootstrap_interval(
    metric: MetricName | Callable[..., float],
    y_true: Any,
    scores: Any = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "bca",
    random_state: int | None = 0,
) -> Interval:
    """Return a metric, or any statistic of the images, with its bootstrap interval.

    Normal and anomalous images are resampled separately, so that every resample has as
    many of each as there are. The interval says how much the value depends on the test
    images; it says nothing of the training images or the random state of the model.

    Args:
        metric: "auroc", "average_precision" or "best_f1", whose threshold is chosen
            again in each resample. Or a function of labels, (n,) int64, and scores,
            (n,) float64, as scikit-learn's metrics are; without ``scores``, a function
            of indices of images, (n,) int64 ascending, of which a resample repeats
            some: a pixel metric, or the difference of two methods on the same images.
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous); without ``scores``
            all may be of one kind.
        scores: (n,) finite numbers, higher = more anomalous, or None.
        confidence: In (0, 1).
        n_resamples: At least 1; with 2,000 the bounds vary by about a tenth of the
            interval's width.
        method: "bca" corrects the bounds for bias and skewness, which matter near 1,
            and evaluates n more samples; "percentile" takes the quantiles of the
            resamples.
        random_state: Seeds the draws; None draws others at every call.

    Returns:
        The value, its bounds and their confidence.

    Raises:
        TypeError: An argument is not of the kind stated, or the function returns no
            number.
        ValueError: It is not in the range stated, shapes differ, there are no normal or
            no anomalous images, or a score or what the function returns is not finite.

    Note:
        Takes O((n_resamples + n) n) time and, for the named metrics, some 20 MB. The
        interval of perfectly separated scores is [1, 1]: no resample shows an error
        that was never seen. The only image of a kind is part of every resample.

    References:
        1. Efron, "Better bootstrap confidence intervals", JASA 82, 1987.
        2. Davison and Hinkley, "Bootstrap Methods and their Application", 1997, ch. 5.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import bootstrap_interval, compute_auroc
        >>> y = np.repeat([0, 1], 40)
        >>> a, b = np.random.default_rng(0).normal(y, size=(2, 80))
        >>> [round(number, 2) for number in bootstrap_interval("auroc", y, a)]
        [0.83, 0.72, 0.91, 0.95]
        >>> def difference(i):
        ...     return compute_auroc(y[i], a[i]) - compute_auroc(y[i], b[i])
        >>> found = bootstrap_interval(difference, y, n_resamples=200)
        >>> found.low < found.value < found.high
        True
    """
    owner = "bootstrap_interval"
    confidence = check_ratio(confidence, "confidence", owner, closed=False)
    n_resamples = check_int(n_resamples, "n_resamples", owner, low=1)
    method = check_option(method, "method", owner, get_args(Method))
    random_state = check_random_state(random_state, "random_state", owner)
    statistic: RowsStatistic
    if scores is None:
        anomalous = check_labels(y_true, owner)
        if not callable(metric):
            rule = "a function where scores is None"
            raise TypeError(refusal("metric", owner, rule, describe(metric)))
        statistic = _each_row(metric, owner)
    else:
        anomalous, values = check_labels_and_scores(y_true, scores, owner)
        if callable(metric):
            labels = anomalous.astype(np.int64)
            statistic = _each_row(lambda i: metric(labels[i], values[i]), owner)
        else:
            name = check_option(metric, "metric", owner, tuple(LEVEL_METRICS))
            statistic = _all_rows(name, anomalous, values)
    every = np.arange(len(anomalous))
    kinds = [kind for kind in (every[~anomalous], every[anomalous]) if kind.size]
    n_rows = max(1, CELLS // len(every))
    value = float(statistic(every[np.newaxis])[0])
    # A generator for each kind makes the draws independent of the rows at a time.
    generators = np.random.default_rng(random_state).spawn(len(kinds))
    resampled = np.empty(n_resamples)
    for part in _parts(n_resamples, n_rows):
        n_now = part.stop - part.start
        drawn = [
            kind[generator.integers(len(kind), size=(n_now, len(kind)))]
            for kind, generator in zip(kinds, generators, strict=True)
        ]
        resampled[part] = statistic(np.concatenate(drawn, axis=1))
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        acceleration = _acceleration(statistic, kinds, n_rows)
        tails = _corrected(tails, resampled, value, acceleration)
    low, high = np.quantile(resampled, tails)
    return Interval(value, float(low), float(high), confidence)


def _parts(n_all: int, n_at_once: int) -> list[slice]:
    return [slice(i, min(i + n_at_once, n_all)) for i in range(0, n_all, n_at_once)]


def _all_rows(
    name: MetricName, anomalous: BoolArray, scores: Float64Array
) -> RowsStatistic:
    """Return what measures all rows of indices at once; scores are sorted once."""
    levels, place = np.unique(-scores, return_inverse=True)
    return lambda rows: measure_samples(name, place[rows], anomalous[rows], len(levels))


def _each_row(statistic: Callable[[Int64Array], float], owner: str) -> RowsStatistic:
    """Return what passes one row of indices after the other to a function."""
    rule = "a function that returns a finite number"

    def measure(rows: Int64Array) -> Float64Array:
        values = np.empty(len(rows))
        # Sorted, so that a resample equal to the images gives the very same number.
        for position, row in enumerate(np.sort(rows, axis=1)):
            value = statistic(row)
            try:
                values[position] = float(value)
            except (TypeError, ValueError):
                message = refusal("metric", owner, rule, describe(value))
                raise TypeError(message) from None
            if not np.isfinite(values[position]):
                raise ValueError(refusal("metric", owner, rule, describe(value)))
        return values

    return measure


def _acceleration(
    statistic: RowsStatistic, kinds: list[Int64Array], n_rows: int
) -> float:
    """Return a: a sixth of the skewness of the influence of single images."""
    others = np.arange(sum(map(len, kinds)) - 1)
    second = third = 0.0
    for kind in kinds:
        if len(kind) == 1:
            continue  # every resample holds it, so it has no influence
        left_out = np.empty(len(kind))
        for part in _parts(len(kind), n_rows):
            # All images but one, for each of them.
            left_out[part] = statistic(others + (others >= kind[part, np.newaxis]))
        influence = (len(kind) - 1) / len(kind) * (left_out.mean() - left_out)
        second += float(np.sum(influence**2))
        third += float(np.sum(influence**3))
    spread = second**1.5
    return third / (6 * spread) if spread > 0 else 0.0


def _corrected(
    tails: Float64Array, resampled: Float64Array, value: float, acceleration: float
) -> Float64Array:
    """Return the quantiles that bias and acceleration make of the nominal ones."""
    share = (np.mean(resampled < value) + np.mean(resampled <= value)) / 2
    # Half a resample away from none and all, whose normal quantiles are infinite.
    margin = 0.5 / len(resampled)
    bias = special.ndtri(np.clip(share, margin, 1 - margin))
    shifted = bias + special.ndtri(tails)
    # Beyond its pole the formula changes sign; the bound is then the last resample.
    stretch = np.maximum(1 - acceleration * shifted, np.finfo(np.float64).tiny)
    return np.asarray(special.ndtr(bias + shifted / stretch))
