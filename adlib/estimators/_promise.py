"""What thresholds promise, in words."""

from __future__ import annotations

import numpy as np

from adlib._typing import Float32Array
from adlib.estimators._calibration import Calibration
from adlib.thresholds import conformal_rate_interval


def threshold_text(
    threshold: float | None,
    review_threshold: float | None,
    calibration: Calibration | None,
) -> str:
    """Say what the thresholds are, and how they came about."""
    if threshold is None:
        return "no threshold"
    text = f"threshold {threshold:.6g}: "
    if calibration is None:
        text += "set by hand, by another library or by an earlier version"
    elif threshold != calibration.threshold:
        text += "set by hand"
    else:
        text += _origin(calibration)
    if review_threshold is None:
        return text
    text += f"; to be reviewed above {review_threshold:.6g}: "
    if calibration is None or review_threshold != calibration.review_threshold:
        return f"{text}set by hand"
    least = "at most" if calibration.kind == "conformal" else "about"
    rate = _percent(calibration.review_rate)
    return f"{text}{least} {rate} of good parts do not pass"


def zones_text(scales: Float32Array, pixel_threshold: float | None) -> str:
    """Say what the pixel thresholds of zones are."""
    text = "{}x{} zones".format(*scales.shape)
    if pixel_threshold is None:
        return f"{text} without pixel thresholds"
    limits = pixel_threshold * scales.astype(np.float64)
    return f"{text}, pixel thresholds {limits.min():.6g} to {limits.max():.6g}"


def _origin(calibration: Calibration) -> str:
    """Say how a threshold came about."""
    n_normal, rate = calibration.n_normal, calibration.false_positive_rate
    if rate is None:
        return f"highest F1 on {n_normal} good and {calibration.n_anomalous} anomalous"
    kind, predicted = calibration.kind, f"{_percent(rate)} of good parts predicted"
    images = "training images" if kind == "leave-one-out" else "good images"
    if calibration.rule == "log-normal":
        return (
            f"{kind}, about {predicted} anomalous by a log-normal law, which is an "
            f"estimate without a guarantee, from {n_normal} {images}"
        )
    if kind == "leave-one-out":
        return (
            f"{kind}, about {predicted} anomalous, without a guarantee, from "
            f"{n_normal} {images}"
        )
    _, low, high = conformal_rate_interval(n_normal, rate)
    return (
        f"{kind}, at most {predicted} anomalous, from {n_normal} {images} (that is "
        f"the mean; 9 of 10 such thresholds lie from {100 * low:.1f} to "
        f"{100 * high:.1f} %)"
    )


def _percent(rate: float | None) -> str:
    return f"{100 * (rate or 0.0):.3g} %"
