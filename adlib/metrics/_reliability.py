"""How far probabilities can be taken at their word."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib._validation import check_int, check_option, refusal
from adlib.metrics._checks import check_labels_and_scores

Bins: TypeAlias = Literal["quantile", "uniform"]
BINS: tuple[Bins, ...] = ("quantile", "uniform")


class ReliabilityCurve(NamedTuple):
    """What was predicted and what came, by bins of the prediction that hold images.

    Attributes:
        predicted: Mean probability, (n_points,) float64, rising.
        observed: Share of anomalous images, (n_points,) float64.
        counts: Images, (n_points,) int64, at least 1.
        edges: Of each bin, low and high, (n_points, 2) float64; a probability at an
            inner edge is in the lower bin.
    """

    predicted: Float64Array
    observed: Float64Array
    counts: Int64Array
    edges: Float64Array


def reliability(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    n_bins: int = 10,
    strategy: Bins = "quantile",
) -> ReliabilityCurve:
    """Return the share of anomalous images where each probability was predicted.

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        probabilities: Predicted chance to be anomalous, (n,) numbers in [0, 1].
        n_bins: At most so many points; empty bins have none.
        strategy: "quantile": bins of as many images each, ties apart; "uniform": bins
            of the same width over [0, 1].

    Returns:
        The points of the bins that hold images, rising.

    Raises:
        TypeError: Labels, probabilities or numbers are of the wrong kind.
        ValueError: Shapes differ, are not (n,) or empty; or a label, probability,
            number or name is out of its range.

    Example:
        >>> from adlib.metrics import reliability
        >>> curve = reliability([0, 0, 1, 1], [0.1, 0.3, 0.6, 1.0], 2, "uniform")
        >>> curve.predicted.tolist(), curve.observed.tolist()
        ([0.2, 0.8], [0.0, 1.0])
    """
    anomalous, values = _check(y_true, probabilities, "reliability")
    n_bins = check_int(n_bins, "n_bins", "reliability", low=1)
    strategy = check_option(strategy, "strategy", "reliability", BINS)
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        # Percentiles as scikit-learn takes them: quantiles round differently at ties.
        edges = np.percentile(values, edges * 100)
    bins = np.searchsorted(edges[1:-1], values)
    counts = np.bincount(bins, minlength=n_bins)
    held = counts > 0
    return ReliabilityCurve(
        np.bincount(bins, values, n_bins)[held] / counts[held],
        np.bincount(bins, anomalous, n_bins)[held] / counts[held],
        counts[held],
        np.column_stack([edges[:-1], edges[1:]])[held],
    )


def expected_calibration_error(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    n_bins: int = 10,
    strategy: Bins = "quantile",
) -> float:
    """Return how far predicted and observed shares differ, on average over images.

    That is the mean of abs(predicted - observed) over the points of ``reliability``,
    weighted by their counts. It depends on the bins: few images in many bins differ by
    chance alone.

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        probabilities: Predicted chance to be anomalous, (n,) numbers in [0, 1].
        n_bins: At most so many bins, at least 1.
        strategy: "quantile" or "uniform"; see ``reliability``.

    Returns:
        In [0, 1]; 0 is perfect.

    Raises:
        TypeError, ValueError: As ``reliability``.

    References:
        1. M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated
           probabilities using Bayesian binning", AAAI 2015.

    Example:
        >>> from adlib.metrics import expected_calibration_error
        >>> error = expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.6, 1.0], 2)
        >>> round(error, 3)
        0.2
    """
    curve = reliability(y_true, probabilities, n_bins, strategy)
    differences = np.abs(curve.predicted - curve.observed)
    return float(np.average(differences, weights=curve.counts))


def brier_score(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared difference of probabilities and labels, in [0, 1].

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        probabilities: Predicted chance to be anomalous, (n,) numbers in [0, 1].

    Returns:
        In [0, 1]; 0 is perfect.

    Raises:
        TypeError, ValueError: As ``reliability``.

    References:
        1. G. W. Brier, "Verification of forecasts expressed in terms of probability",
           Monthly Weather Review 78, 1950.

    Example:
        >>> from adlib.metrics import brier_score
        >>> brier_score([0, 1], [0.5, 1.0])
        0.125
    """
    anomalous, values = _check(y_true, probabilities, "brier_score")
    return float(np.mean((values - anomalous) ** 2))


def _check(
    y_true: Any, probabilities: Any, owner: str
) -> tuple[BoolArray, Float64Array]:
    anomalous, values = check_labels_and_scores(
        y_true, probabilities, owner, both=False, parameter="probabilities"
    )
    if values.min() < 0 or values.max() > 1:
        rule = "in [0, 1]"
        came = f"values from {values.min():g} to {values.max():g}"
        remedy = "fit_probabilities makes probabilities of scores."
        raise ValueError(refusal("probabilities", owner, rule, came, remedy))
    return anomalous, values
