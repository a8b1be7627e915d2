"""Which pixels a mask marks as anomalous: one rule for files and arrays."""

from __future__ import annotations

import numpy as np

from adlib._typing import AnyArray, BoolArray

MOST_VALUES = 4  # of a mask that numbers its kinds of defects in any way
HIGHEST_NUMBER = 63  # of a mask with any number of kinds


def count_values(values: AnyArray) -> int:
    """Return how many different values there are."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:  # noqa: PLR2004 - bytes
        return int(np.count_nonzero(np.bincount(values.ravel())))
    return len(np.unique(values))


def numbers_kinds(values: AnyArray) -> bool:
    """Ask whether the values number kinds of defects, so that each counts.

    They do where they are two; or whole numbers, none above 63 or at most four
    different ones. What has more has soft or lossy edges, or is no mask.
    """
    low, high = values.min(), values.max()
    if ((values == low) | (values == high)).all():
        return True
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        return False
    if high <= HIGHEST_NUMBER:
        return True
    # JPEG of the best quality leaves just the neighbours of both ends.
    lossy = (values == low + 1).any() and (values == high - 1).any()
    return not lossy and count_values(values) <= MOST_VALUES


def half_of_range(values: AnyArray) -> float:
    """Return the middle between the lowest and the highest value."""
    return (float(values.min()) + float(values.max())) / 2


def marked_pixels(values: AnyArray, *, lossy: bool = False) -> BoolArray:
    """Return which pixels of a (height, width) mask are anomalous.

    Where values number kinds of defects: all above the lowest. Elsewhere, and where
    ``lossy`` compression may have changed them a little: those above the middle of the
    range. A mask with one value marks everything, or nothing if the value is 0.
    """
    low = values.min()
    if low == values.max():
        return np.full(values.shape, bool(low != 0))
    if not lossy and numbers_kinds(values):
        return np.asarray(values > low)
    return np.asarray(values > half_of_range(values))
