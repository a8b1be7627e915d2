"""Carry a threshold to where scores are distributed otherwise, without a label."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import Float64Array
from adlib._validation import check_option, refusal
from adlib.metrics._checks import check_number, check_scores

TransferRule: TypeAlias = Literal["location", "spread", "quantile"]


def transfer_threshold(
    threshold: float,
    scores_before: ArrayLike,
    scores_after: ArrayLike,
    *,
    rule: TransferRule = "spread",
) -> float:
    """Return the threshold that stands among new scores as another among old ones.

    Nobody needs to say which of the images are anomalous; but their share must be about
    the same before and after, or small.

    Args:
        threshold: Of the old scores.
        scores_before: Of images where the threshold was set, (n_before,) finite
            numbers.
        scores_after: Of images where it will be used, (n_after,) finite numbers.
        rule: "location" moves it as the median moves; "spread" keeps its distance from
            the median in median absolute deviations; "quantile" keeps the share of
            images above it.

    Returns:
        The threshold for scores like ``scores_after``.

    Raises:
        TypeError: Something is not a number.
        ValueError: Scores are not (n,), empty, NaN or infinite; the rule is unknown; or
            "spread" is asked for and half of the old scores are equal.

    Note:
        "quantile" moves most where the share of anomalous images differs: from 30 % to
        1 % it would call 29 % of the images anomalous that are good. Medians hardly
        move as long as most images are good.

    Example:
        >>> from adlib.metrics import transfer_threshold
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
        spread = _spread(before)
        if spread == 0.0:
            asked = "scores of which fewer than half are equal, for the rule 'spread'"
            remedy = "Take the rule 'location'."
            raise ValueError(
                refusal("scores_before", owner, asked, "a spread of 0", remedy)
            )
        factor = _spread(after) / spread
    return float(np.median(after) + factor * (limit - np.median(before)))


def _spread(scores: Float64Array) -> float:
    """Return the median absolute deviation."""
    return float(np.median(np.abs(scores - np.median(scores))))
