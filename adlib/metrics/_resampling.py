"""Draw images of each kind again and again, and bound a statistic by what it gives.

A statistic is asked about rows of image indices, be they a resample, all images or all
but one, so that it can answer for many rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import special

from adlib._typing import BoolArray, Float64Array, Int64Array

Method = Literal["bca", "percentile"]
RowsStatistic: TypeAlias = Callable[[Int64Array], Float64Array]

CELLS = 2**18  # image indices that are looked at together; bounds the memory


class Interval(NamedTuple):
    """A figure, and where its true value lies with the stated confidence.

    Attributes:
        value: The figure of the images as they are.
        low: Lower bound.
        high: Upper bound.
        confidence: In (0, 1).
    """

    value: float
    low: float
    high: float
    confidence: float


class Plan(NamedTuple):
    """How to resample; checked."""

    confidence: float
    n_resamples: int
    method: Method
    random_state: int | None


def resampled_interval(
    statistic: RowsStatistic, anomalous: BoolArray, plan: Plan
) -> Interval:
    """Return the statistic's value and bounds.

    Args:
        statistic: Returns one number for each row of image indices.
        anomalous: Which images are anomalous, (n,) bool; each kind, or the only one
            there is, is resampled from its own images.
        plan: How to resample; checked.

    References:
        1. Efron, "Better bootstrap confidence intervals", JASA 82, 1987.
        2. Davison and Hinkley, "Bootstrap Methods and their Application", 1997, chapter
           5: bias and acceleration, the latter of several samples.
    """
    kinds = [
        k for k in (np.flatnonzero(~anomalous), np.flatnonzero(anomalous)) if k.size
    ]
    value = float(statistic(np.arange(len(anomalous))[np.newaxis])[0])
    draws = _draw_rows(kinds, plan.n_resamples, plan.random_state)
    resampled = np.concatenate([statistic(rows) for rows in draws])
    tails = np.array([(1 - plan.confidence) / 2, (1 + plan.confidence) / 2])
    if plan.method == "bca":
        bias = _bias(resampled, value)
        tails = _correct(tails, bias, _acceleration(statistic, kinds))
    low, high = np.quantile(resampled, tails)
    return Interval(value, float(low), float(high), plan.confidence)


def _draw_rows(
    kinds: list[Int64Array], n_resamples: int, random_state: int | None
) -> Iterator[Int64Array]:
    """Yield resamples, (n_rows, n) indices, each kind drawn from its own images."""
    # A generator for each kind makes the draws independent of the rows at a time.
    generators = np.random.default_rng(random_state).spawn(len(kinds))
    n_rows = _rows_at_a_time(kinds)
    for start in range(0, n_resamples, n_rows):
        n_now = min(n_rows, n_resamples - start)
        drawn = [
            kind[generator.integers(len(kind), size=(n_now, len(kind)))]
            for kind, generator in zip(kinds, generators, strict=True)
        ]
        yield np.concatenate(drawn, axis=1)


def _rows_at_a_time(kinds: list[Int64Array]) -> int:
    return max(1, CELLS // sum(map(len, kinds)))


def _bias(resampled: Float64Array, value: float) -> float:
    """Return z0: the normal quantile of the share of resamples below the value.

    Ties count half. The share stays half a resample away from none and all, whose
    quantiles are infinite.
    """
    share = (np.mean(resampled < value) + np.mean(resampled <= value)) / 2
    margin = 0.5 / len(resampled)
    return float(special.ndtri(np.clip(share, margin, 1 - margin)))


def _acceleration(statistic: RowsStatistic, kinds: list[Int64Array]) -> float:
    """Return a: a sixth of the skewness of what single images do to the statistic."""
    second = third = 0.0
    for kind in kinds:
        if len(kind) == 1:
            continue  # every resample holds it, so it moves nothing
        left_out = np.concatenate(
            [statistic(rows) for rows in _leave_one_out(kinds, kind)]
        )
        pull = (len(kind) - 1) / len(kind) * (left_out.mean() - left_out)
        second += float(np.sum(pull**2))
        third += float(np.sum(pull**3))
    spread = second**1.5
    return third / (6 * spread) if spread > 0 else 0.0


def _leave_one_out(kinds: list[Int64Array], kind: Int64Array) -> Iterator[Int64Array]:
    """Yield all images but one of a kind, (n_rows, n - 1) indices, for each in turn."""
    every = np.sort(np.concatenate(kinds))
    n_rows = _rows_at_a_time(kinds)
    for start in range(0, len(kind), n_rows):
        missing = kind[start : start + n_rows, np.newaxis]
        shorter = np.arange(len(every) - 1)[np.newaxis]
        yield every[shorter + (shorter >= missing)]


def _correct(tails: Float64Array, bias: float, acceleration: float) -> Float64Array:
    """Return the quantiles that bias and acceleration make of the nominal ones."""
    shifted = bias + special.ndtri(tails)
    # Beyond its pole the formula turns round; the bound is then the last resample.
    stretch = np.maximum(1 - acceleration * shifted, np.finfo(np.float64).tiny)
    corrected: Float64Array = special.ndtr(bias + shifted / stretch)
    return corrected
