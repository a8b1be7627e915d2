"""Metrics of image scores and of predicted labels; ties are exact.

The distinct scores are levels, highest first. AUROC, average precision and F1 follow
from the numbers of normal and anomalous images at each level; those of many samples,
such as bootstrap resamples, are measured at once, along the last axis. Names with
``compute_`` are those of the study's plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from adlib._typing import AnyArray, BoolArray, Float64Array, Int64Array
from adlib._validation import check_ratio, describe, refusal
from adlib.metrics._checks import check_labels, check_labels_and_scores, check_number

MetricName = Literal["auroc", "average_precision", "best_f1"]


class BestF1(NamedTuple):
    """The highest F1, in [0, 1], and its threshold."""

    f1: float
    threshold: float


class Confusion(NamedTuple):
    """Counts of images; positive means predicted anomalous."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int


class Rates(NamedTuple):
    """Shares of images, in [0, 1]; NaN where there is nothing to take a share of."""

    accuracy: float
    precision: float
    recall: float
    specificity: float


def compute_auroc(y_true: Any, scores: Any) -> float:
    """Return the area under the ROC curve of image scores.

    It is the chance that an anomalous image scores above a normal one; a tie counts
    half.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        In [0, 1]; 0.5 is chance.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, a score is NaN or infinite, a label is neither 0 nor
            1, or there are no normal or no anomalous ones.

    Example:
        >>> from adlib.metrics import compute_auroc
        >>> compute_auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    checked = check_labels_and_scores(y_true, scores, "compute_auroc")
    return float(_auroc(*_levels(*checked)[1:]))


def compute_auprc(y_true: Any, scores: Any) -> float:
    """Return average precision: precision at each score, weighted by recall gained.

    AP = sum over the scores, from the highest, of (R_n - R_{n-1}) P_n, as in
    scikit-learn's ``average_precision_score``.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        In (0, 1]; that of chance is the share of anomalous images.

    Raises:
        TypeError, ValueError: As ``compute_auroc``.

    Example:
        >>> from adlib.metrics import compute_auprc
        >>> round(compute_auprc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]), 4)
        0.8333
    """
    checked = check_labels_and_scores(y_true, scores, "compute_auprc")
    return float(_average_precision(*_levels(*checked)[1:]))


def best_f1(y_true: Any, scores: Any) -> BestF1:
    """Return the highest F1 over all thresholds; of equals, the highest threshold.

    It is optimistic, since the threshold is chosen on the same images.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        The F1 and its threshold, in the middle between two scores; where it is best to
        predict every image anomalous, the next number below the lowest.

    Raises:
        TypeError, ValueError: As ``compute_auroc``.

    Example:
        >>> from adlib.metrics import best_f1
        >>> best_f1([0, 0, 1, 1], [1.0, 3.0, 4.0, 6.0])
        BestF1(f1=1.0, threshold=3.5)
    """
    checked = check_labels_and_scores(y_true, scores, "best_f1")
    levels, n_normal, n_anomalous = _levels(*checked)
    f1 = _f1(n_normal, n_anomalous)
    best = int(f1.argmax())
    level, below = np.append(levels, np.nextafter(levels[-1], -np.inf))[best : best + 2]
    middle = below / 2 + level / 2  # the sum could overflow
    # Between neighbours there is no middle; it would be rounded to one of them.
    threshold = middle if below < middle < level else below
    return BestF1(float(f1[best]), float(threshold))


def compute_f1_at_threshold(y_true: Any, scores: Any, threshold: float) -> float:
    """Return F1 where images that score above a threshold are predicted anomalous.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        threshold: A number; an image that scores exactly it is predicted normal.

    Returns:
        In [0, 1]; NaN where no image is anomalous and none is predicted so.

    Raises:
        TypeError, ValueError: As ``compute_auroc``, but one kind of images may be
            missing; or ``threshold`` is NaN.

    Example:
        >>> from adlib.metrics import compute_f1_at_threshold
        >>> compute_f1_at_threshold([0, 0, 1, 1], [1.0, 3.0, 4.0, 6.0], 2.0)
        0.8
    """
    owner = "compute_f1_at_threshold"
    anomalous, values = check_labels_and_scores(y_true, scores, owner, fewest=0)
    limit = check_number(threshold, "threshold", owner)
    _, fp, fn, tp = confusion_counts(anomalous, values > limit)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def confusion_counts(
    y_true: Any, y_pred: Any, owner: str = "confusion_counts"
) -> Confusion:
    """Return the confusion matrix of labels and predicted labels, (n,) of 0 and 1."""
    true = check_labels(y_true, owner)
    predicted = check_labels(y_pred, owner, "y_pred")
    if len(true) != len(predicted):
        rule = f"as long as y_true ({len(true)})"
        raise ValueError(refusal("y_pred", owner, rule, describe(predicted)))
    return Confusion(*np.bincount(2 * true + predicted, minlength=4).tolist())


def compute_accuracy_precision_recall(y_true: Any, y_pred: Any) -> Rates:
    """Return accuracy, precision, recall and specificity of predicted labels.

    These are the shares (TP + TN) / n, TP / (TP + FP), TP / (TP + FN), TN / (TN + FP).

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        y_pred: The predicted labels, likewise; of ``predict``, ``predict(X) == -1``.

    Returns:
        Shares in [0, 1]; NaN where there is nothing to take a share of.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, or a label is neither 0 nor 1.

    Example:
        >>> from adlib.metrics import compute_accuracy_precision_recall
        >>> rates = compute_accuracy_precision_recall([0, 0, 1, 1], [0, 1, 1, 1])
        >>> rates.accuracy, rates.recall, rates.specificity
        (0.75, 1.0, 0.5)
    """
    owner = "compute_accuracy_precision_recall"
    tn, fp, fn, tp = confusion_counts(y_true, y_pred, owner)
    return Rates(
        accuracy=(tp + tn) / (tn + fp + fn + tp),
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        specificity=_ratio(tn, tn + fp),
    )


def fpr_at_tpr(y_true: Any, scores: Any, tpr: float = 0.95) -> float:
    """Return the lowest false-positive rate at which recall reaches ``tpr``.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        tpr: The true-positive rate that must at least be reached, in (0, 1].

    Returns:
        In [0, 1]; that of a real threshold, nothing is interpolated.

    Raises:
        TypeError, ValueError: As ``compute_auroc``; or ``tpr`` is not as stated.

    Example:
        >>> from adlib.metrics import fpr_at_tpr
        >>> fpr_at_tpr([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0], 1.0)
        0.5
    """
    wanted = check_ratio(tpr, "tpr", "fpr_at_tpr", closed=True)
    checked = check_labels_and_scores(y_true, scores, "fpr_at_tpr")
    _, normal, anomalous = _levels(*checked)
    # A share such as 19 / 20 must count as 0.95, however either was rounded.
    reached = np.cumsum(anomalous) / anomalous.sum() >= wanted - 1e-12
    return float((np.cumsum(normal) / normal.sum())[reached.argmax()])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _levels(
    anomalous: BoolArray, scores: Float64Array
) -> tuple[Float64Array, Int64Array, Int64Array]:
    """Return the scores, distinct and falling, and each kind's images, (n_levels,)."""
    falling, place = np.unique(-scores, return_inverse=True)
    n_normal, n_anomalous = (
        np.bincount(place[kind], minlength=len(falling))
        for kind in (~anomalous, anomalous)
    )
    return -falling, n_normal, n_anomalous


def _auroc(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return AUROC; pairs are counted in whole numbers, and ties count half.

    The normal and anomalous images at each level, (..., n_levels), are highest first.
    """
    found = np.cumsum(n_anomalous, axis=-1)
    twice_won = np.sum(n_normal * (2 * found - n_anomalous), axis=-1)
    return np.asarray(twice_won / (2 * found[..., -1] * n_normal.sum(axis=-1)))


def _average_precision(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return average precision; see ``_auroc``."""
    found = np.cumsum(n_anomalous, axis=-1)
    flagged = found + np.cumsum(n_normal, axis=-1)
    # Where nothing is flagged yet nothing is gained either, so any divisor does.
    precision = found / np.maximum(flagged, 1)
    return np.asarray(np.sum(precision * n_anomalous, axis=-1) / found[..., -1])


def _f1(n_normal: Int64Array, n_anomalous: Int64Array) -> Float64Array:
    """Return F1 of a threshold below each level, (..., n_levels); see ``_auroc``."""
    found = np.cumsum(n_anomalous, axis=-1)
    flagged = found + np.cumsum(n_normal, axis=-1)
    return np.asarray(2 * found / (flagged + found[..., -1:]))


LEVEL_METRICS: dict[MetricName, Callable[[Int64Array, Int64Array], Float64Array]] = {
    "auroc": _auroc,
    "average_precision": _average_precision,
    "best_f1": lambda *counts: _f1(*counts).max(axis=-1),
}


def measure_samples(
    name: MetricName, place: AnyArray, anomalous: AnyArray, n_levels: int
) -> Float64Array:
    """Return a metric of each sample of images, (n_samples,).

    ``place`` is the level of each image, (n_samples, n); ``anomalous`` which images
    are, likewise or (n,).
    """
    cells = place + n_levels * np.arange(len(place))[:, np.newaxis]
    kinds = np.broadcast_to(anomalous, cells.shape)
    n_normal, n_anomalous = (
        np.bincount(cells[kind], minlength=n_levels * len(place)).reshape(-1, n_levels)
        for kind in (~kinds, kinds)
    )
    return LEVEL_METRICS[name](n_normal, n_anomalous)
