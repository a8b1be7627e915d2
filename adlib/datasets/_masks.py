"""Ground-truth masks as their publishers store them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adlib._typing import BoolArray
from adlib.datasets._layouts import image_files
from adlib.exceptions import ImageError
from adlib.images import read_image

GREY = 2  # dimensions of a mask without colours


def read_mask(path: Path) -> BoolArray:
    """Return which pixels are anomalous, (height, width) bool.

    Args:
        path: A mask, of which every pixel that is not 0 counts (VisA and MVTec LOCO
            number kinds of defects); or a folder of masks of one image that count
            together.

    Raises:
        ImageError: A mask is missing or unreadable, a folder has none, or those in it
            differ in size.
    """
    if not path.is_dir():
        return _read_one(path)
    masks = [_read_one(file) for file in image_files(path)]
    if len({mask.shape for mask in masks}) != 1:
        sizes = ", ".join(sorted({"{}x{}".format(*mask.shape) for mask in masks}))
        raise ImageError(
            f"{path} must hold masks of one size; it holds {sizes or 'none'}."
        )
    return np.asarray(np.logical_or.reduce(masks))


def _read_one(path: Path) -> BoolArray:
    values = read_image(path)
    return np.asarray(values != 0 if values.ndim == GREY else values.any(axis=2))
