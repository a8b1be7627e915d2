"""Learn from labelled scores which probability each score stands for.

Neither method says 0 or 1. A few dozen images cannot show that something never happens,
and a cost calculation would believe it. With n0 normal and n1 anomalous images both
stay within [1 / (n0 + 2), (n1 + 1) / (n1 + 2)] on them, the targets of Platt.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float64Array
from adlib._validation import check_option
from adlib.metrics._checks import check_labels_and_scores
from adlib.metrics._probability_maps import (
    IsotonicMap,
    LogisticMap,
    ProbabilityMap,
)

ProbabilityMethod: TypeAlias = Literal["isotonic", "logistic"]
PROBABILITY_METHODS: tuple[ProbabilityMethod, ...] = ("isotonic", "logistic")


def fit_probabilities(
    y_true: ArrayLike, scores: ArrayLike, method: ProbabilityMethod = "isotonic"
) -> ProbabilityMap:
    """Learn the chance to be anomalous as a function of the score.

    Args:
        y_true: Labels, (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores: (n,) finite numbers, higher = more anomalous, of images that nothing was
            learned from.
        method: "isotonic": any function that never falls, clipped to Platt's targets;
            for hundreds of images. "logistic": one S-shaped curve (Platt scaling, its
            slope at least 0); for few.

    Returns:
        The map. Its ``as_dict`` goes into JSON, and ``ProbabilityMap.from_dict`` back.

    Raises:
        TypeError: Labels or scores are of the wrong kind.
        ValueError: Shapes differ, are not (n,) or empty; a label is neither 0 nor 1; a
            score is NaN or infinite; one kind of image is missing; or ``method`` is
            unknown.

    Note:
        Probabilities are those of a mix like this one. Where anomalous images are rarer
        than among ``y_true``, they are lower.

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
    method = check_option(method, "method", owner, PROBABILITY_METHODS)
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
