"""Probabilities from scores, and how reliable they are."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib._validation import check_option
from adlib.metrics._checks import check_labels_and_scores, check_scores

ProbabilityMethod: TypeAlias = Literal["isotonic", "logistic"]


class IsotonicMap(NamedTuple):
    """Linear between knots, (n_knots,) each, and constant beyond the ends."""

    scores: list[float]
    probabilities: list[float]

    def __call__(self, scores: ArrayLike) -> Float64Array:
        """Return the probability of each score, (n,), strictly between 0 and 1."""
        values = check_scores(scores, "scores", "IsotonicMap")
        return np.interp(values, self.scores, self.probabilities)


class LogisticMap(NamedTuple):
    """1 / (1 + exp(-slope (score - center) - offset)); ``center`` keeps the digits."""

    slope: float
    offset: float
    center: float

    def __call__(self, scores: ArrayLike) -> Float64Array:
        """Return the probability of each score, (n,), strictly between 0 and 1."""
        values = check_scores(scores, "scores", "LogisticMap")
        log_odds = self.slope * (values - self.center) + self.offset
        # Far out the curve rounds to 0 or 1, which no finite score warrants.
        inside = np.finfo(np.float64).eps
        return np.asarray(np.clip(expit(log_odds), inside, 1 - inside))


def fit_probabilities(
    y_true: ArrayLike, scores: ArrayLike, method: ProbabilityMethod = "isotonic"
) -> IsotonicMap | LogisticMap:
    """Learn the probability to be anomalous as a function of the score.

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores: (n,) finite numbers, higher = more anomalous, of images that were not
            trained on.
        method: "isotonic": any function that never falls, clipped to Platt's targets;
            for hundreds of images. "logistic": one S-shaped curve (Platt scaling, its
            slope at least 0); for few.

    Returns:
        A function of scores, (n,) finite numbers, that returns probabilities, (n,),
        strictly between 0 and 1: a named tuple of numbers, which JSON can keep.

    Raises:
        TypeError, ValueError: As ``compute_auroc``; or ``method`` is unknown.

    Note:
        Probabilities hold for the share of anomalous images among ``y_true``. Platt's
        targets are 1 / (n0 + 2) and (n1 + 1) / (n1 + 2) of n0 normal and n1 anomalous
        images: never 0 or 1, which a few dozen images cannot show.

    References:
        1. Platt, "Probabilistic outputs for support vector machines", 1999.
        2. Zadrozny and Elkan, "Transforming classifier scores into accurate
           multiclass probability estimates", KDD 2002.

    Example:
        >>> from adlib.metrics import fit_probabilities
        >>> probability = fit_probabilities([0, 0, 1, 0, 1, 1], [1, 2, 3, 4, 5, 6])
        >>> probability([0.0, 3.5, 9.0]).tolist()
        [0.2, 0.5, 0.8]
    """
    owner = "fit_probabilities"
    anomalous, values = check_labels_and_scores(y_true, scores, owner)
    method = check_option(method, "method", owner, get_args(ProbabilityMethod))
    n_anomalous = int(anomalous.sum())
    low = 1 / (len(values) - n_anomalous + 2)
    high = (n_anomalous + 1) / (n_anomalous + 2)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - slow

        steps = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip")
        steps.fit(values, anomalous.astype(np.float64))
        return IsotonicMap(steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist())
    return _fit_logistic(values, np.where(anomalous, high, low))


def _fit_logistic(scores: Float64Array, targets: Float64Array) -> LogisticMap:
    """Fit a logistic curve to Platt's targets."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow

    center, scale = float(scores.mean()), float(scores.std()) or 1.0
    # Each image counts as anomalous by its target, and as normal by the rest of it.
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fit.fit(
        np.tile((scores - center) / scale, 2)[:, np.newaxis],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    slope, offset = float(fit.coef_[0, 0]) / scale, float(fit.intercept_[0])
    if slope > 0:
        return LogisticMap(slope, offset, center)
    # The likelihood is concave: of slopes from 0 up the best is 0, at the mean target.
    mean = float(targets.mean())
    return LogisticMap(0.0, float(np.log(mean / (1 - mean))), center)


class ReliabilityCurve(NamedTuple):
    """Mean probability, share of anomalous images, and images, of each bin."""

    predicted: Float64Array
    observed: Float64Array
    counts: Int64Array


def reliability(
    anomalous: BoolArray, probabilities: Float64Array, n_bins: int = 10
) -> ReliabilityCurve:
    """Return the reliability curve; scikit-learn's, with counts.

    Bins, at most ``n_bins``, are of as many images each, equal probabilities together;
    one at an inner edge is in the lower bin. Empty bins are left out.
    """
    # Percentiles as scikit-learn takes them: quantiles round differently at ties.
    edges = np.percentile(probabilities, np.linspace(0, 1, n_bins + 1) * 100)
    bins = np.searchsorted(edges[1:-1], probabilities)
    counts = np.bincount(bins, minlength=n_bins)
    held = counts > 0
    return ReliabilityCurve(
        np.bincount(bins, probabilities, n_bins)[held] / counts[held],
        np.bincount(bins, anomalous, n_bins)[held] / counts[held],
        counts[held],
    )


def expected_calibration_error(
    anomalous: BoolArray, probabilities: Float64Array, n_bins: int = 10
) -> float:
    """Return ECE: the mean of abs(predicted - observed) over bins, by their counts."""
    curve = reliability(anomalous, probabilities, n_bins)
    differences = np.abs(curve.predicted - curve.observed)
    return float(np.average(differences, weights=curve.counts))


def brier_score(anomalous: BoolArray, probabilities: Float64Array) -> float:
    """Return the mean of (probability - label)**2, in [0, 1]."""
    return float(np.mean((probabilities - anomalous) ** 2))
