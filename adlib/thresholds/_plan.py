"""How many images to hold out for a threshold, and which rate they can promise."""

from __future__ import annotations

import warnings
from typing import NamedTuple, get_args

import numpy as np

from adlib._typing import Int64Array
from adlib._validation import (
    check_bool,
    check_int,
    check_option,
    check_random_state,
    check_ratio,
    refusal,
)
from adlib.exceptions import InputWarning
from adlib.thresholds._conformal import lowest_rate
from adlib.thresholds._log_normal import FEWEST_SCORES, RateRule

HOLDOUT, RATE = 0.2, 0.05  # where nothing is asked for
FEWEST_IMAGES = 3  # that can be left out one by one


class CalibrationPlan(NamedTuple):
    """Which images to train on, and what sets the threshold.

    Attributes:
        training: Indices of the images to fit, (n_training,) int64, ascending.
        held_out: Those of the images to calibrate with, (n_held_out,) int64, ascending.
        leave_one_out: The training images set the threshold, each scored without
            itself; ``false_positive_rate`` then goes to the estimator.
        false_positive_rate: None where anomalous images set the threshold, or nothing.
    """

    training: Int64Array
    held_out: Int64Array
    leave_one_out: bool
    false_positive_rate: float | None


def plan_calibration(
    n_images: int,
    *,
    n_good: int = 0,
    n_anomalous: int = 0,
    holdout: float | None = None,
    false_positive_rate: float | None = None,
    leave_one_out: bool = False,
    threshold_rule: RateRule = "quantile",
    random_state: int | None = 0,
) -> CalibrationPlan:
    """Decide which good images to train on and which set the threshold.

    By default a fifth of the images is held out where that is enough to promise 0.05,
    at least 19 images (``lowest_rate``). Else all are trained on, and each is scored
    without itself (leave-one-out), which gives about the rate without a guarantee.
    ``adlib fit`` follows these rules.

    Args:
        n_images: Good images that can be trained on, at least 1.
        n_good: Other good images that set the threshold, in place of held-out ones.
        n_anomalous: Anomalous images; with them the threshold maximises F1.
        holdout: Share to hold out, in [0, 1); 0 sets no threshold. None: as above.
        false_positive_rate: Share of good images that may be predicted anomalous, in
            (0, 1); None: 0.05, or the lowest that so few images can promise.
        leave_one_out: Train on all images and set the threshold by leave-one-out.
        threshold_rule: Of the estimator. "log-normal" needs four images and takes any
            rate of them, since it promises none.
        random_state: Seeds the draw of the images to hold out.

    Returns:
        The indices to train on and to hold out, and the rate.

    Raises:
        TypeError, ValueError: An argument is not as stated or contradicts another; or
            so few images cannot promise the rate.

    Note:
        Fewer than three images set no threshold, and too few for 0.05 a higher rate;
        either warns (``InputWarning``).

    Example:
        >>> from adlib.thresholds import plan_calibration
        >>> plan = plan_calibration(100)
        >>> len(plan.training), len(plan.held_out), plan.false_positive_rate
        (80, 20, 0.05)
        >>> plan = plan_calibration(9)
        >>> plan.leave_one_out, len(plan.training), plan.false_positive_rate
        (True, 9, 0.1)
    """
    owner = "plan_calibration"
    n_images = check_int(n_images, "n_images", owner, low=1)
    n_good = check_int(n_good, "n_good", owner, low=0)
    n_anomalous = check_int(n_anomalous, "n_anomalous", owner, low=0)
    if holdout:
        check_ratio(holdout, "holdout", owner, closed=False)
    asked = false_positive_rate
    if asked is not None:
        asked = check_ratio(asked, "false_positive_rate", owner, closed=False)
    leave_one_out = check_bool(leave_one_out, "leave_one_out", owner)
    law = check_option(threshold_rule, "threshold_rule", owner, get_args(RateRule))
    random_state = check_random_state(random_state, "random_state", owner)
    if leave_one_out and (holdout or n_good or n_anomalous):
        rule = "False with holdout, n_good or n_anomalous"
        raise ValueError(refusal("leave_one_out", owner, rule, "True"))
    if n_good and holdout:
        rule = "None with n_good, which sets the threshold in its place"
        raise ValueError(refusal("holdout", owner, rule, holdout))
    share = HOLDOUT if holdout is None else holdout
    n_held_out = 0 if n_good or leave_one_out else int(n_images * share)
    fewest = FEWEST_IMAGES if law == "quantile" else FEWEST_SCORES
    # To ask the log-normal law for a rate does not mean to hold images out.
    asks = asked is not None and law == "quantile"
    chosen = holdout is not None or leave_one_out or asks
    if not (chosen or n_good or n_anomalous) and lowest_rate(n_held_out) > RATE:
        n_held_out, leave_one_out = 0, n_images >= fewest
        if not leave_one_out:
            warnings.warn(
                f"{n_images} images are too few to set a threshold from. Pass "
                f"{fewest} or more, or other good ones (n_good).",
                InputWarning,
                stacklevel=2,
            )
    n_set = n_images if leave_one_out else n_held_out + n_good
    if n_anomalous and not n_set:
        rule = "given with good images to tell them from"
        remedy = "Hold some out (holdout) or pass some (n_good)."
        raise ValueError(refusal("n_anomalous", owner, rule, n_anomalous, remedy))
    if asked is not None and (n_anomalous or not n_set):
        rule = "given with good images that set the threshold, and no anomalous ones"
        raise ValueError(refusal("false_positive_rate", owner, rule, asked))
    lowest = _lowest(n_set, n_anomalous, law, owner)
    if asked is not None and asked < lowest:
        rule = f"at least {lowest:.3g}, the lowest that {n_set} good images can promise"
        remedy = "Raise it or pass more images."
        if not leave_one_out:
            remedy = (
                "Raise it, hold out more images (holdout), pass more (n_good), or use "
                "each of them (leave_one_out), which guarantees nothing."
            )
        raise ValueError(refusal("false_positive_rate", owner, rule, asked, remedy))
    if asked is None and n_set and not (leave_one_out or n_anomalous) and lowest > RATE:
        warnings.warn(
            f"{n_set} good images set aside can promise no rate below "
            f"{100 * lowest:.3g} % of good parts predicted anomalous. Pass 19 or more "
            "for 5 %, or use each of them (leave_one_out).",
            InputWarning,
            stacklevel=2,
        )
    rate = max(RATE, lowest) if asked is None else asked
    drawn = np.random.default_rng(random_state).permutation(n_images)
    return CalibrationPlan(
        np.sort(drawn[n_held_out:]),
        np.sort(drawn[:n_held_out]),
        leave_one_out,
        None if n_anomalous or not n_set else rate,
    )


def _lowest(n_set: int, n_anomalous: int, rule: RateRule, owner: str) -> float:
    """Return the lowest rate that a rule can give from so many images, or raise."""
    if rule == "quantile":
        return lowest_rate(n_set)
    if n_anomalous:
        wanted = "'quantile' with anomalous images, which set the threshold by F1"
        raise ValueError(refusal("threshold_rule", owner, wanted, rule))
    if 0 < n_set < FEWEST_SCORES:
        wanted = f"'quantile' where fewer than {FEWEST_SCORES} images set the threshold"
        came = f"{rule!r} and {n_set}"
        raise ValueError(refusal("threshold_rule", owner, wanted, came))
    return 0.0
