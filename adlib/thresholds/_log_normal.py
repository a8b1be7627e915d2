"""A threshold for few or odd normal images: the quantile of a log-normal law."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from adlib._validation import check_ratio, refusal
from adlib.metrics._checks import check_scores

RateRule: TypeAlias = Literal["quantile", "log-normal"]
FEWEST_SCORES = 4  # of fewer, the upper quartile is the median
N_NODES = 200  # of the quadrature, along each of two axes
HALF = 0.5  # rates from which on the law says nothing
MOST = 10.0  # k is below this over the rate
HIGHEST = np.log(np.finfo(np.float32).max)  # scores are compared in float32


def log_normal_threshold(
    scores_normal: ArrayLike,
    false_positive_rate: float,
    *,
    owner: str = "log_normal_threshold",
) -> float:
    """Return a threshold by the median and upper quartile of normal scores.

    With m the median and q the upper quartile of the n log scores it is
    ``exp(m + k (q - m))``. k depends on n and the rate alone: if log scores above m are
    those of a normal law, a new score exceeds the threshold with that chance, over the
    draw of the n images too. For many images it is ``isf(rate) / isf(0.25)`` of the
    standard normal law, for few larger.

    It is an estimate by that law, without a guarantee. Other than
    ``conformal_threshold`` it goes below a rate of 1 / (n + 1), and of n images nearly
    a quarter may have scores as high as they like without moving it far.

    Args:
        scores_normal: Scores of normal images that were not trained on, (n_normal,)
            finite numbers of at least 0, four or more, higher = more anomalous.
        false_positive_rate: In (0, 0.5).
        owner: What errors call the function that was given them.

    Returns:
        In the unit of the scores.

    Raises:
        TypeError, ValueError: Scores or the rate are not as stated; the upper quartile
            equals the median; or the threshold would exceed what a float32 holds.

    Note:
        Median and quartile are the scores of rank floor((n + 1) / 2) and
        floor(3 (n - 1) / 4) + 1, the lower of two. k is the root of an integral over
        the joint law of two order statistics (reference 1, chapter 2), by quadrature,
        whose error changes the rate by less than 1 % of it down to 0.001. Only scores
        from the median on count, since anomaly scores spread further above it.

    References:
        1. H. A. David and H. N. Nagaraja, "Order statistics", 3rd edition, 2003.
        2. G. J. Hahn and W. Q. Meeker, "Statistical intervals", 1991, chapter 4
           (prediction intervals of a normal law).

    Example:
        >>> import numpy as np
        >>> from adlib.thresholds import log_normal_threshold
        >>> scores = np.exp(np.random.default_rng(0).normal(2.0, 0.1, 200))
        >>> round(log_normal_threshold(scores, 0.01), 1)  # of the law itself: 9.3
        9.3
        >>> scores[0] = 1000.0
        >>> round(log_normal_threshold(scores, 0.01), 1)
        9.4
    """
    scores = np.sort(check_scores(scores_normal, "scores_normal", owner))
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    if rate >= HALF:
        rule = f"below {HALF}, since only scores above the median follow the law"
        raise ValueError(refusal("false_positive_rate", owner, rule, rate))
    n_scores = len(scores)
    if n_scores < FEWEST_SCORES:
        rule = f"at least {FEWEST_SCORES} scores for a log-normal law"
        raise ValueError(refusal("scores_normal", owner, rule, str(n_scores)))
    middle, upper = (float(scores[rank]) for rank in _ranks(n_scores))
    if scores[0] < 0.0 or not 0.0 < middle < upper:
        rule = (
            "at least 0, with an upper quartile above the median and a median above 0, "
            "for a log-normal law"
        )
        came = f"lowest {scores[0]:g}, median {middle:g}, upper quartile {upper:g}"
        remedy = 'Take the quantile (threshold_rule="quantile").'
        raise ValueError(refusal("scores_normal", owner, rule, came, remedy))
    spread = np.log(upper) - np.log(middle)
    highest = np.log(middle) + _factor(n_scores, rate) * spread
    if highest > HIGHEST:
        rule = f"one that a log-normal law of {n_scores} scores gives a threshold for"
        remedy = "Raise it or pass more images."
        raise ValueError(refusal("false_positive_rate", owner, rule, rate, remedy))
    return float(np.exp(highest))


def _ranks(n_scores: int) -> tuple[int, int]:
    """Return which of sorted scores are the median and the upper quartile, from 0."""
    return (n_scores - 1) // 2, 3 * (n_scores - 1) // 4


@lru_cache(maxsize=64)
def _factor(n_scores: int, rate: float) -> float:
    """Return k: P(z > z_m + k (z_q - z_m)) is the rate, z and z_i of a normal law.

    Of n uniform numbers that of rank q (from 1) follows Beta(q, n + 1 - q), and that of
    rank m below it is Beta(m, q - m) of its height.
    """
    middle, upper = (rank + 1 for rank in _ranks(n_scores))
    nodes, weights = np.polynomial.legendre.leggauss(N_NODES)
    nodes, weights = (nodes + 1) / 2, np.outer(weights, weights) / 4
    high = stats.beta(upper, n_scores + 1 - upper).ppf(nodes)[:, None]
    low = high * stats.beta(middle, upper - middle).ppf(nodes)
    start = special.ndtri(low)
    spread = special.ndtri(high) - start

    def excess(factor: float) -> float:
        return float((weights * special.ndtr(-start - factor * spread)).sum()) - rate

    return float(optimize.brentq(excess, 0.0, MOST / rate))
