"""Metrics of image scores, by way of scikit-learn, until their own file is merged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics._checks import check_labels_and_scores
from adlib.metrics._thresholds import calibrate_threshold


class BestF1(NamedTuple):
    """The best F1 over all thresholds, and the threshold that gives it."""

    f1: float
    threshold: float


def compute_auroc(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve."""
    return float(roc_auc_score(*check_labels_and_scores(y_true, scores, "auroc")))


def compute_auprc(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision."""
    anomalous, values = check_labels_and_scores(y_true, scores, "auprc")
    return float(average_precision_score(anomalous, values))


def compute_best_f1(y_true: ArrayLike, scores: ArrayLike) -> BestF1:
    """Return the best F1 over all thresholds, and the threshold that gives it."""
    anomalous, values = check_labels_and_scores(y_true, scores, "best_f1")
    threshold = calibrate_threshold(values[~anomalous], values[anomalous])
    flagged = values > threshold
    hits = np.sum(flagged & anomalous)
    return BestF1(float(2 * hits / (flagged.sum() + anomalous.sum())), threshold)
