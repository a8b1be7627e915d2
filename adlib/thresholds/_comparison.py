"""Rules for a threshold side by side: set on some images, measured on others."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from numpy.typing import ArrayLike

from adlib._validation import check_ratio
from adlib.metrics._checks import check_labels_and_scores, check_scores
from adlib.metrics._image_metrics import confusion_counts
from adlib.thresholds._conformal import conformal_threshold
from adlib.thresholds._scores import (
    calibrate_threshold,
    quantile_threshold,
    share_of,
    sigma_threshold,
)

ThresholdRule: TypeAlias = Literal["max", "quantile", "sigma", "conformal", "best_f1"]


class ThresholdRow(NamedTuple):
    """The threshold of one rule, and its metrics on the test images.

    ``precision`` is 0 where no image is predicted anomalous.
    """

    rule: ThresholdRule
    threshold: float
    f1: float
    precision: float
    recall: float
    false_positive_rate: float


def compare_thresholds(
    scores_normal: ArrayLike,
    scores_anomalous: ArrayLike | None,
    y_test: ArrayLike,
    scores_test: ArrayLike,
    *,
    false_positive_rate: float = 0.05,
    k: float = 3.0,
) -> tuple[ThresholdRow, ...]:
    """Set a threshold by each rule on validation images; measure it on test images.

    The rules: the highest score of the normal images; ``quantile_threshold``;
    ``sigma_threshold``; ``conformal_threshold``; and, where there are anomalous
    validation images, ``calibrate_threshold``.

    Args:
        scores_normal: Of normal validation images, (n_normal,) finite numbers, at least
            two, higher = more anomalous.
        scores_anomalous: Of anomalous ones, (n_anomalous,) finite numbers, or None.
        y_test: Labels of the test images, (n_test,), 0 normal and 1 anomalous, both.
        scores_test: Their scores, (n_test,) finite numbers. No rule sees them.
        false_positive_rate: What quantile and conformal aim at, in (0, 1).
        k: Standard deviations of the sigma rule, above 0.

    Returns:
        One row a rule, in the order above. The conformal threshold is infinite where
        the normal images are too few for the rate.

    Raises:
        TypeError, ValueError: Scores, labels or numbers are not as stated.

    Example:
        >>> import numpy as np
        >>> from adlib.thresholds import compare_thresholds
        >>> rng = np.random.default_rng(0)
        >>> normal, anomalous = rng.normal(0, 1, 239), rng.normal(3, 1, 80)
        >>> rows = compare_thresholds(
        ...     normal[:39], anomalous[:20], np.repeat([0, 1], [200, 60]),
        ...     np.concatenate([normal[39:], anomalous[20:]]))
        >>> [(row.rule, round(row.f1, 2)) for row in rows][-2:]
        [('conformal', 0.81), ('best_f1', 0.87)]
    """
    owner = "compare_thresholds"
    normal = check_scores(scores_normal, "scores_normal", owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    anomalous_test, test = check_labels_and_scores(y_test, scores_test, owner)
    thresholds: dict[ThresholdRule, float] = {
        "max": float(normal.max()),
        "quantile": quantile_threshold(normal, rate),
        "sigma": sigma_threshold(normal, k),
        "conformal": math.inf,
    }
    if share_of(len(normal) + 1, rate):
        thresholds["conformal"] = conformal_threshold(normal, rate)
    if scores_anomalous is not None:
        thresholds["best_f1"] = calibrate_threshold(normal, scores_anomalous)

    def row(rule: ThresholdRule, threshold: float) -> ThresholdRow:
        tn, fp, fn, tp = confusion_counts(anomalous_test, test > threshold)
        f1, precision = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp) if tp + fp else 0.0
        return ThresholdRow(
            rule, threshold, f1, precision, tp / (tp + fn), fp / (tn + fp)
        )

    return tuple(row(*found) for found in thresholds.items())
