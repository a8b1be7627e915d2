"""Metrics of image scores and of verdicts; ties are exact, nothing is interpolated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from adlib._validation import check_ratio, describe, refusal
from adlib.metrics._checks import check_labels, check_labels_and_scores, check_number
from adlib.metrics._curves import count_scores, roc_curve


class BestF1(NamedTuple):
    """The highest F1 there is, and where.

    Attributes:
        f1: Harmonic mean of precision and recall, in [0, 1].
        threshold: What the scores of the images called anomalous exceed.
    """

    f1: float
    threshold: float


class Confusion(NamedTuple):
    """How many images are called what; positive means anomalous.

    Attributes:
        true_negatives: Normal images called normal.
        false_positives: Normal images called anomalous.
        false_negatives: Anomalous images called normal.
        true_positives: Anomalous images called anomalous.

    Example:
        >>> from adlib.metrics import Confusion
        >>> Confusion(8, 2, 0, 4).f1
        0.8
    """

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without anything anomalous."""
        called = 2 * self.true_positives + self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, called)


class Rates(NamedTuple):
    """Shares of images, in [0, 1]; NaN where there is nothing to take a share of.

    Attributes:
        accuracy: Of all images, those called what they are.
        precision: Of those called anomalous, those that are.
        recall: Of the anomalous ones, those called so (sensitivity).
        specificity: Of the normal ones, those called so.
    """

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
        In [0, 1]; 0.5 is chance. Pairs are counted in whole numbers.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, a score is NaN or infinite, a label is neither 0 nor
            1, or there are no normal or no anomalous ones.

    Example:
        >>> from adlib.metrics import compute_auroc
        >>> compute_auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    anomalous, values = check_labels_and_scores(y_true, scores, "compute_auroc")
    counts = count_scores(anomalous, values)
    # In integers: for each level, pairs that it wins, and half of those that tie.
    n_at = np.diff(counts.n_normal, prepend=0)
    found = counts.n_anomalous + np.append(0, counts.n_anomalous[:-1])
    n_pairs = int(counts.n_anomalous[-1]) * int(counts.n_normal[-1])
    return int(np.sum(n_at * found)) / (2 * n_pairs)


def compute_auprc(y_true: Any, scores: Any) -> float:
    """Return average precision: precision at each score, weighted by recall gained.

    It is the area under the precision-recall curve taken as steps, without the
    optimistic straight lines of the trapezium rule.

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
    counts = count_scores(*checked)
    precision = counts.n_anomalous / (counts.n_anomalous + counts.n_normal)
    gained = np.diff(counts.n_anomalous, prepend=0) / counts.n_anomalous[-1]
    return float(np.sum(precision * gained))


def compute_best_f1(y_true: Any, scores: Any) -> BestF1:
    """Return the highest F1 over all thresholds; of equals, the highest threshold.

    It flatters where the same images chose the threshold.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.

    Returns:
        The F1 and its threshold, half way between the two scores that it parts; where
        it is best to call every image anomalous, the next number below the lowest.

    Raises:
        TypeError, ValueError: As ``compute_auroc``.

    Example:
        >>> from adlib.metrics import compute_best_f1
        >>> compute_best_f1([0, 0, 1, 1], [1.0, 3.0, 4.0, 6.0])
        BestF1(f1=1.0, threshold=3.5)
    """
    counts = count_scores(*check_labels_and_scores(y_true, scores, "compute_best_f1"))
    best = int(counts.f1.argmax())
    return BestF1(float(counts.f1[best]), float(counts.thresholds[best]))


def compute_f1_at_threshold(y_true: Any, scores: Any, threshold: float) -> float:
    """Return F1 of calling those images anomalous that score above a threshold.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        threshold: A number; an image that scores exactly it is called normal.

    Returns:
        In [0, 1]; NaN where no image is anomalous and none is called so.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, or a score or ``threshold`` is NaN.

    Example:
        >>> from adlib.metrics import compute_f1_at_threshold
        >>> compute_f1_at_threshold([0, 0, 1, 1], [1.0, 3.0, 4.0, 6.0], 2.0)
        0.8
    """
    owner = "compute_f1_at_threshold"
    anomalous, values = check_labels_and_scores(y_true, scores, owner, both=False)
    limit = check_number(threshold, "threshold", owner)
    return compute_confusion(anomalous, values > limit).f1


def compute_confusion(y_true: Any, y_pred: Any) -> Confusion:
    """Return how many images of each kind are called what.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        y_pred: The verdicts, likewise. What ``predict`` gives is -1 for anomalous: pass
            ``predict(X) == -1``.

    Returns:
        The four counts.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, or a label is neither 0 nor 1.

    Example:
        >>> from adlib.metrics import compute_confusion
        >>> compute_confusion([0, 0, 0, 1], [0, 0, 1, 1]).false_positives
        1
    """
    owner = "compute_confusion"
    true = check_labels(y_true, owner)
    called = check_labels(y_pred, owner, "y_pred")
    if len(true) != len(called):
        rule = f"as long as y_true ({len(true)})"
        raise ValueError(refusal("y_pred", owner, rule, describe(called)))
    cells = np.bincount(2 * true + called, minlength=4)
    return Confusion(*map(int, cells))


def compute_accuracy_precision_recall(y_true: Any, y_pred: Any) -> Rates:
    """Return accuracy, precision, recall and specificity of verdicts.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        y_pred: The verdicts, likewise; of ``predict``, ``predict(X) == -1``.

    Returns:
        Shares in [0, 1]; NaN where there is nothing to take a share of.

    Raises:
        TypeError, ValueError: As ``compute_confusion``.

    Example:
        >>> from adlib.metrics import compute_accuracy_precision_recall
        >>> rates = compute_accuracy_precision_recall([0, 0, 1, 1], [0, 1, 1, 1])
        >>> rates.accuracy, rates.recall, rates.specificity
        (0.75, 1.0, 0.5)
    """
    table = compute_confusion(y_true, y_pred)
    right = table.true_positives + table.true_negatives
    return Rates(
        accuracy=right / sum(table),
        precision=_ratio(
            table.true_positives, table.true_positives + table.false_positives
        ),
        recall=_ratio(
            table.true_positives, table.true_positives + table.false_negatives
        ),
        specificity=_ratio(
            table.true_negatives, table.true_negatives + table.false_positives
        ),
    )


def compute_fpr_at_tpr(y_true: Any, scores: Any, tpr: float = 0.95) -> float:
    """Return the lowest false-positive rate that finds enough anomalous images.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        tpr: The true-positive rate that must at least be reached, in (0, 1].

    Returns:
        In [0, 1]; that of a threshold there is, nothing is interpolated.

    Raises:
        TypeError, ValueError: As ``compute_auroc``; or ``tpr`` is not as stated.

    Example:
        >>> from adlib.metrics import compute_fpr_at_tpr
        >>> compute_fpr_at_tpr([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0], 1.0)
        0.5
    """
    wanted = check_ratio(tpr, "tpr", "compute_fpr_at_tpr", closed=True)
    curve = roc_curve(y_true, scores)
    # A share such as 19 / 20 must count as 0.95, however either was rounded.
    reached = curve.true_positive_rates >= wanted - 1e-12
    return float(curve.false_positive_rates[reached.argmax()])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
