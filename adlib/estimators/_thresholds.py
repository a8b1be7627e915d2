"""Where to cut image scores: labels as users write them, and two rules for the cut."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float64Array
from adlib._validation import describe, refusal

NORMAL, ANOMALOUS = 1, -1  # scikit-learn's outlier convention


def as_anomalous(y: ArrayLike, owner: str) -> BoolArray:
    """Return which labels say anomalous, (n_images,) bool.

    Args:
        y: (n_images,) of +1 normal and -1 anomalous as ``predict`` gives, or of 0
            normal and 1 anomalous as data sets have it, or of bool, True anomalous.
            Where there are only ones, they mean normal.
        owner: What errors call the function that was given ``y``.

    Raises:
        ValueError: The values belong to neither convention, or ``y`` is not 1-D.
    """
    rule = "+1 normal and -1 anomalous, or 0 normal and 1 anomalous, one an image"
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "biuf" or labels.size == 0:
        raise ValueError(refusal("y", owner, rule, describe(labels)))
    if labels.dtype.kind == "b":
        return labels
    values = set(np.unique(labels).tolist())
    if values <= {NORMAL, ANOMALOUS}:
        return np.asarray(labels == ANOMALOUS)
    if values <= {0, 1}:
        return np.asarray(labels == 1)
    shown = ", ".join(map(str, sorted(values)[:6]))
    raise ValueError(refusal("y", owner, rule, f"the values {shown}"))


def best_f1_threshold(normal: Float64Array, anomalous: Float64Array) -> float:
    """Return the threshold that maximises F1, of all there are.

    An image counts as anomalous if its score exceeds the threshold, which stands half
    way between two neighbouring scores. Of equal F1 values the higher threshold wins.

    Args:
        normal: Scores of normal images, at least one.
        anomalous: Scores of anomalous images, at least one.
    """
    levels = np.unique(np.concatenate([normal, anomalous]))[::-1]
    flagged_anomalous = len(anomalous) - np.searchsorted(np.sort(anomalous), levels)
    flagged_normal = len(normal) - np.searchsorted(np.sort(normal), levels)
    f1 = 2 * flagged_anomalous / (flagged_anomalous + flagged_normal + len(anomalous))
    best = int(np.argmax(f1))
    if best + 1 == len(levels):
        return float(np.nextafter(levels[best], -np.inf))
    return float((levels[best] + levels[best + 1]) / 2)


def conformal_threshold(normal: Float64Array, false_positive_rate: float) -> float:
    """Return the split-conformal threshold of scores of normal images.

    With images that are exchangeable with these, the chance that a new normal image
    scores above it is at most ``false_positive_rate``, whatever the distribution.

    Raises:
        ValueError: There are too few scores to promise that.

    References:
        Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005.
    """
    # (n + 1) * rate may round to just under an integer; that must not cost a rank.
    n_above = math.floor((len(normal) + 1) * false_positive_rate + 1e-9)
    rank = max(1, len(normal) + 1 - n_above)
    if rank > len(normal):
        raise ValueError(
            f"false_positive_rate={false_positive_rate:g} of calibrate needs more "
            f"normal images; got {len(normal)}, which allow "
            f"{lowest_rate(len(normal)):.3g} and above."
        )
    return float(np.sort(normal)[rank - 1])


def lowest_rate(n_normal: int) -> float:
    """Return the lowest false-positive rate that so many normal images can promise."""
    return 1.0 / (n_normal + 1)
