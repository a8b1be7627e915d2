"""What labels mean, in either of the two ways that users write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray
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
