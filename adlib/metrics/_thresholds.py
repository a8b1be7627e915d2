"""Where to cut scores, when what matters is F1 or the scores of normal images alone.

An image is predicted anomalous when its score is above the threshold, not at it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import Float64Array, Int64Array
from adlib._validation import check_positive, check_ratio, refusal
from adlib.metrics._checks import check_scores
from adlib.metrics._curves import count_scores


def calibrate_threshold(
    scores_normal: ArrayLike,
    scores_anomalous: ArrayLike,
    *,
    candidates: ArrayLike | None = None,
) -> float:
    """Return the threshold that maximises F1, of all there are.

    Every distinct way to cut the scores is tried; the threshold stands half way between
    the two scores that it parts. Of equal F1 values the higher threshold wins.

    Args:
        scores_normal: Scores of normal images, (n_normal,) finite numbers, higher =
            more anomalous.
        scores_anomalous: Scores of anomalous images, (n_anomalous,) finite numbers.
        candidates: Thresholds to choose among, (n_candidates,) finite numbers, as in a
            grid search. None: all.

    Returns:
        The threshold. Where it is best to call every image anomalous, the next number
        below the lowest score.

    Raises:
        TypeError: Scores or candidates are not numbers.
        ValueError: They are not (n,), empty, NaN or infinite.

    Note:
        O(n log n). The F1 of the scores it was chosen on is too good to be true for new
        ones: measure it on others, as ``compare_thresholds`` does.

    Example:
        >>> from adlib.metrics import calibrate_threshold
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
        return float(tried[np.argmax(_f1_above(tried, normal, anomalous))])
    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    counts = count_scores(labels, np.concatenate([normal, anomalous]))
    return float(counts.thresholds[counts.f1.argmax()])


def quantile_threshold(scores_normal: ArrayLike, false_positive_rate: float) -> float:
    """Return the lowest score that at most a share of these normal images exceed.

    This is the empirical quantile (the inverse of the distribution function), and says
    nothing certain of new images: these exceed it a little more often. See
    ``conformal_threshold`` for one that promises.

    Args:
        scores_normal: (n_normal,) finite numbers, higher = more anomalous.
        false_positive_rate: The share, in (0, 1).

    Returns:
        One of the scores; what is above it, not at it, is to be predicted anomalous.

    Raises:
        TypeError: Scores or the share are not numbers.
        ValueError: Scores are not (n_normal,), empty, NaN or infinite, or the share is
            out of its range.

    Example:
        >>> from adlib.metrics import quantile_threshold
        >>> quantile_threshold([1.0, 2.0, 3.0, 4.0], 0.25)
        3.0
    """
    owner = "quantile_threshold"
    scores = check_scores(scores_normal, "scores_normal", owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    n_above = share_of(len(scores), rate)
    rank = max(0, len(scores) - 1 - n_above)
    return float(np.partition(scores, rank)[rank])


def sigma_threshold(scores_normal: ArrayLike, k: float = 3.0) -> float:
    """Return the mean of the scores of normal images plus k standard deviations.

    For scores of a normal distribution 1 in 740 exceeds it with k = 3; anomaly scores
    rarely have one, so that the rate can be far off. Simple, and common.

    Args:
        scores_normal: (n_normal,) finite numbers, at least two, higher = more
            anomalous.
        k: Above 0.

    Returns:
        In the unit of the scores.

    Raises:
        TypeError: Scores or ``k`` are not numbers.
        ValueError: Scores are fewer than two, not (n_normal,), NaN or infinite, or
            ``k`` is not above 0.

    Note:
        The standard deviation is that of a sample (``ddof=1``).

    Example:
        >>> from adlib.metrics import sigma_threshold
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


def share_of(number: int, ratio: float) -> int:
    """Return how many of ``number`` are at most a share of them.

    The product may round to just under an integer; that must not cost one.
    """
    return math.floor(number * ratio + 1e-9)


def _f1_above(
    thresholds: Float64Array, normal: Float64Array, anomalous: Float64Array
) -> Float64Array:
    """Return F1 of calling what is above each threshold anomalous."""
    flagged_anomalous = _n_above(thresholds, anomalous)
    flagged = flagged_anomalous + _n_above(thresholds, normal)
    f1: Float64Array = 2 * flagged_anomalous / (flagged + len(anomalous))
    return f1


def _n_above(thresholds: Float64Array, scores: Float64Array) -> Int64Array:
    at_most = np.searchsorted(np.sort(scores), thresholds, side="right")
    return np.asarray(len(scores) - at_most)
