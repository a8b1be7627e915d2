"""Probabilities from scores, and how reliable they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib._validation import check_int, check_option, refusal
from adlib.metrics._checks import check_labels_and_scores, check_scores

ProbabilityMethod: TypeAlias = Literal["isotonic", "logistic"]
Bins: TypeAlias = Literal["quantile", "uniform"]


class ProbabilityMap(ABC):
    """Maps scores to probabilities that never fall as scores rise."""

    def __call__(self, scores: ArrayLike) -> Float64Array:
        """Return the probability of each score, (n,), strictly between 0 and 1."""
        return self._map(check_scores(scores, "scores", type(self).__name__))

    @abstractmethod
    def _map(self, scores: Float64Array) -> Float64Array:
        """Return the probability of each checked score."""

    def as_dict(self) -> dict[str, Any]:
        """Return "method" and the numbers of the map, as JSON has them."""
        method = "isotonic" if isinstance(self, IsotonicMap) else "logistic"
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        lists = {k: v.tolist() if np.ndim(v) else v for k, v in numbers.items()}
        return {"method": method, **lists}


@dataclass(frozen=True, eq=False)
class IsotonicMap(ProbabilityMap):
    """Linear between knots, (n_knots,) each, and constant beyond the ends."""

    scores: Float64Array
    probabilities: Float64Array

    def _map(self, scores: Float64Array) -> Float64Array:
        return np.interp(scores, self.scores, self.probabilities)


@dataclass(frozen=True)
class LogisticMap(ProbabilityMap):
    """1 / (1 + exp(-slope (score - center) - offset)); ``center`` keeps the digits."""

    slope: float
    offset: float
    center: float

    def _map(self, scores: Float64Array) -> Float64Array:
        log_odds = self.slope * (scores - self.center) + self.offset
        # Far out the curve rounds to 0 or 1, which no finite score warrants.
        inside = np.finfo(np.float64).eps
        return np.asarray(np.clip(expit(log_odds), inside, 1 - inside))


def fit_probabilities(
    y_true: ArrayLike, scores: ArrayLike, method: ProbabilityMethod = "isotonic"
) -> ProbabilityMap:
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
        strictly between 0 and 1. Its ``as_dict()`` is what JSON keeps of it.

    Raises:
        TypeError: Labels or scores are of the wrong kind.
        ValueError: Shapes differ, are not (n,) or empty; a label is neither 0 nor 1; a
            score is NaN or infinite; one kind of image is missing; or ``method`` is
            unknown.

    Note:
        Probabilities hold for the share of anomalous images among ``y_true``; where
        they are rarer, probabilities are lower. With n0 normal and n1 anomalous images
        they stay within Platt's targets, [1 / (n0 + 2), (n1 + 1) / (n1 + 2)], on these
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
        return _fit_isotonic(anomalous, values, low, high)
    return _fit_logistic(anomalous, values, low, high)


def _fit_isotonic(
    anomalous: BoolArray, scores: Float64Array, low: float, high: float
) -> IsotonicMap:
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - slow to import

    fit = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip")
    fit.fit(scores, anomalous.astype(np.float64))
    return IsotonicMap(fit.X_thresholds_, fit.y_thresholds_)


def _fit_logistic(
    anomalous: BoolArray, scores: Float64Array, low: float, high: float
) -> LogisticMap:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - likewise

    center, scale = float(scores.mean()), float(scores.std()) or 1.0
    targets = np.where(anomalous, high, low)
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
    """Predicted probability and observed share, by bins that hold images.

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
    """Return the reliability curve; scikit-learn's has neither counts nor edges.

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        probabilities: Predicted, (n,) numbers in [0, 1].
        n_bins: At most so many points; empty bins have none.
        strategy: "quantile": bins of as many images each, equal ones together;
            "uniform": bins of the same width over [0, 1].
    """
    anomalous, values = _check(y_true, probabilities, "reliability")
    n_bins = check_int(n_bins, "n_bins", "reliability", low=1)
    strategy = check_option(strategy, "strategy", "reliability", get_args(Bins))
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
    """Return ECE: the mean of abs(predicted - observed) over bins, by their counts."""
    curve = reliability(y_true, probabilities, n_bins, strategy)
    differences = np.abs(curve.predicted - curve.observed)
    return float(np.average(differences, weights=curve.counts))


def brier_score(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean of (probability - label)**2, in [0, 1]."""
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
