"""Thresholds of image scores, and rules for one side by side."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import median_abs_deviation

from adlib._validation import check_option, check_positive, check_ratio, refusal
from adlib.metrics import best_f1
from adlib.metrics._checks import check_labels_and_scores, check_number, check_scores
from adlib.metrics._image_metrics import confusion_counts
from adlib.thresholds._conformal import conformal_threshold, share_of

TransferRule: TypeAlias = Literal["location", "spread", "quantile"]
ThresholdRule: TypeAlias = Literal["max", "quantile", "sigma", "conformal", "best_f1"]


def calibrate_threshold(
    scores_normal: ArrayLike,
    scores_anomalous: ArrayLike,
    *,
    candidates: ArrayLike | None = None,
) -> float:
    """Return the threshold that maximises F1; of equals, the highest.

    Args:
        scores_normal: (n_normal,) finite numbers, higher = more anomalous.
        scores_anomalous: (n_anomalous,) finite numbers.
        candidates: Thresholds to choose among, (n_candidates,) finite numbers, as in a
            grid search. None: the middle between each two neighbouring scores.

    Returns:
        The threshold. Where it is best to predict every image anomalous, the next
        number below the lowest score.

    Raises:
        TypeError, ValueError: Scores or candidates are not as stated, or none.

    Note:
        O(n log n). F1 of the same scores is optimistic: measure it on others, as
        ``compare_thresholds`` does.

    Example:
        >>> from adlib.thresholds import calibrate_threshold
        >>> calibrate_threshold([1.0, 2.0, 6.0], [5.0, 9.0])
        3.5
        >>> calibrate_threshold([1.0, 2.0, 6.0], [5.0, 9.0], candidates=[2.0, 4.0, 8.0])
        4.0
    """
    owner = "calibrate_threshold"
    normal = check_scores(scores_normal, "scores_normal", owner)
    anomalous = check_scores(scores_anomalous, "scores_anomalous", owner)
    if candidates is not None:
        tried = np.unique(check_scores(candidates, "candidates", owner))[::-1]
        found, wrong = (
            len(kind) - np.searchsorted(np.sort(kind), tried, side="right")
            for kind in (anomalous, normal)
        )
        return float(tried[np.argmax(2 * found / (found + wrong + len(anomalous)))])
    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    return best_f1(labels, np.concatenate([normal, anomalous])).threshold


def quantile_threshold(scores_normal: ArrayLike, false_positive_rate: float) -> float:
    """Return the lowest score that at most a share of these normal images exceed.

    It is the empirical quantile of these images, without a guarantee for new ones; see
    ``conformal_threshold`` for one.

    Args:
        scores_normal: (n_normal,) finite numbers, higher = more anomalous.
        false_positive_rate: The share, in (0, 1).

    Returns:
        One of the scores.

    Raises:
        TypeError, ValueError: Scores or the share are not as stated.

    Example:
        >>> from adlib.thresholds import quantile_threshold
        >>> quantile_threshold([1.0, 2.0, 3.0, 4.0], 0.25)
        3.0
    """
    owner = "quantile_threshold"
    scores = check_scores(scores_normal, "scores_normal", owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    rank = max(0, len(scores) - 1 - share_of(len(scores), rate))
    return float(np.partition(scores, rank)[rank])


def sigma_threshold(scores_normal: ArrayLike, k: float = 3.0) -> float:
    """Return mean + k standard deviations of the scores of normal images.

    Of normally distributed scores 1 in 740 exceeds it with k = 3; anomaly scores rarely
    are, so that the rate can be far off.

    Args:
        scores_normal: (n_normal,) finite numbers, at least two.
        k: Above 0.

    Returns:
        In the unit of the scores; the standard deviation has ``ddof=1``.

    Raises:
        TypeError, ValueError: Scores or ``k`` are not as stated.

    Example:
        >>> from adlib.thresholds import sigma_threshold
        >>> sigma_threshold([1.0, 2.0, 3.0], k=3.0)
        5.0
    """
    owner = "sigma_threshold"
    scores = check_scores(scores_normal, "scores_normal", owner)
    k = check_positive(k, "k", owner)
    if len(scores) < 2:  # noqa: PLR2004 - one score has no spread
        rule = "at least two scores, since one has no standard deviation"
        raise ValueError(refusal("scores_normal", owner, rule, "1"))
    return float(scores.mean() + k * scores.std(ddof=1))


def transfer_threshold(
    threshold: float,
    scores_before: ArrayLike,
    scores_after: ArrayLike,
    *,
    rule: TransferRule = "spread",
) -> float:
    """Move a threshold to scores that are distributed differently, without labels.

    With t the threshold, and m and s the median and the median absolute deviation:

    - "location": t + m_after - m_before;
    - "spread": m_after + (t - m_before) s_after / s_before;
    - "quantile": the score that the same share of images exceeds.

    The share of anomalous images must be about the same before and after, or small.

    Args:
        threshold: Of the scores before.
        scores_before: Where the threshold was set, (n_before,) finite numbers.
        scores_after: Where it will be used, (n_after,) finite numbers.
        rule: "location", "spread" or "quantile".

    Returns:
        The threshold for scores like ``scores_after``.

    Raises:
        TypeError, ValueError: An argument is not as stated; or "spread" is asked for
            and half of the scores before are equal.

    Note:
        "quantile" is the most sensitive to the share of anomalous images: if it falls
        from 30 % to 1 %, 29 % of the images are false positives. Medians hardly move
        as long as most images are good.

    Example:
        >>> from adlib.thresholds import transfer_threshold
        >>> transfer_threshold(4.0, [1.0, 2.0, 3.0], [11.0, 13.0, 15.0])
        17.0
    """
    owner = "transfer_threshold"
    check_option(rule, "rule", owner, get_args(TransferRule))
    limit = check_number(threshold, "threshold", owner)
    before = check_scores(scores_before, "scores_before", owner)
    after = check_scores(scores_after, "scores_after", owner)
    if rule == "quantile":
        n_above = round(float(np.mean(before > limit)) * len(after))
        if n_above == len(after):
            return float(np.nextafter(after.min(), -np.inf))
        return float(np.sort(after)[len(after) - 1 - n_above])
    factor = 1.0
    if rule == "spread":
        spreads = median_abs_deviation(before), median_abs_deviation(after)
        if spreads[0] == 0.0:
            asked = "scores of which fewer than half are equal, for rule='spread'"
            remedy = "Pass rule='location'."
            came = "a spread of 0"
            raise ValueError(refusal("scores_before", owner, asked, came, remedy))
        factor = spreads[1] / spreads[0]
    return float(np.median(after) + factor * (limit - np.median(before)))


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
