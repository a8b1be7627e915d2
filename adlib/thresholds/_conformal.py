"""Thresholds with a guaranteed false-positive rate on new images (split conformal)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from adlib._validation import check_int, check_ratio
from adlib.metrics._checks import check_scores


class RateInterval(NamedTuple):
    """The false-positive rates to expect of a conformal threshold.

    ``mean`` is over all calibrations: the chance that a new normal image is above. The
    rate of one calibration is as likely below ``low`` as above ``high``.
    """

    mean: float
    low: float
    high: float


def conformal_threshold(
    scores_normal: ArrayLike,
    false_positive_rate: float,
    *,
    owner: str = "conformal_threshold",
) -> float:
    """Return the split-conformal threshold of scores of normal images.

    It is the score of rank n + 1 - floor((n + 1) * rate) of n. If these images and a
    new normal one are exchangeable, then P(new score > threshold) <= rate, whatever the
    distribution and for any n. The probability is over the draw of these images too:
    ``conformal_rate_interval`` says how far a single calibration may be off.

    Args:
        scores_normal: Scores of normal images that were not trained on, (n_normal,)
            finite numbers, higher = more anomalous.
        false_positive_rate: In (0, 1).
        owner: What errors call the function that was given them.

    Returns:
        One of the scores.

    Raises:
        TypeError, ValueError: Scores or the rate are not as stated, or there are too
            few scores to promise it.

    References:
        1. V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a random
           world", 2005.

    Example:
        >>> import numpy as np
        >>> from adlib.thresholds import conformal_threshold
        >>> conformal_threshold(np.arange(1.0, 40.0), 0.05)
        38.0
    """
    scores = check_scores(scores_normal, "scores_normal", owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    rank = _rank(len(scores), rate, owner)
    return float(np.partition(scores, rank - 1)[rank - 1])


def lowest_rate(n_normal: int) -> float:
    """Return the lowest false-positive rate that so many normal images can promise.

    Args:
        n_normal: Normal images that calibrate, at least 1.

    Returns:
        1 / (n_normal + 1), in (0, 0.5]: ``conformal_threshold`` refuses lower rates.

    Example:
        >>> from adlib.thresholds import lowest_rate
        >>> lowest_rate(19)
        0.05
    """
    return 1.0 / (n_normal + 1)


def conformal_rate_interval(
    n_normal: int, false_positive_rate: float, confidence: float = 0.9
) -> RateInterval:
    """Return which false-positive rates to expect of one conformal calibration.

    The rate on new normal images depends on which n images set the threshold. With
    l = floor((n + 1) * rate) and scores that do not tie it follows Beta(l, n + 1 - l);
    with ties it is lower.

    Args:
        n_normal: Images that calibrate, n.
        false_positive_rate: The rate that is asked for, in (0, 1).
        confidence: How often a calibration's rate lies in the interval, in (0, 1).

    Returns:
        The mean rate, at most the one that is asked for, and the bounds, in (0, 1).

    Raises:
        TypeError, ValueError: A number is not as stated, or so few images cannot
            promise the rate.

    References:
        1. V. Vovk, "Conditional validity of inductive conformal predictors", ACML 2012,
           section 3.

    Example:
        >>> from adlib.thresholds import conformal_rate_interval
        >>> interval = conformal_rate_interval(39, 0.05)
        >>> [round(rate, 3) for rate in interval]
        [0.05, 0.009, 0.116]
    """
    owner = "conformal_rate_interval"
    n_normal = check_int(n_normal, "n_normal", owner, low=1)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    confidence = check_ratio(confidence, "confidence", owner, closed=False)
    rank = _rank(n_normal, rate, owner)
    n_above = n_normal + 1 - rank
    tail = (1 - confidence) / 2
    low, high = stats.beta(n_above, rank).ppf([tail, 1 - tail])
    return RateInterval(n_above / (n_normal + 1), float(low), float(high))


def _rank(n_normal: int, rate: float, owner: str) -> int:
    """Return which of the scores is the threshold, 1 the lowest, or raise."""
    rank = max(1, n_normal + 1 - share_of(n_normal + 1, rate))
    if rank > n_normal:
        raise ValueError(
            f"false_positive_rate={rate:g} of {owner} needs more normal images; got "
            f"{n_normal}, which allow {lowest_rate(n_normal):.3g} and above."
        )
    return rank


def share_of(number: int, ratio: float) -> int:
    """Return how many of ``number`` are at most a share of them.

    The product may round to just under an integer; that must not cost one.
    """
    return math.floor(number * ratio + 1e-9)
