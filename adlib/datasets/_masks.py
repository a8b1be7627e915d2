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
    """Read which pixels are anomalous.

    Args:
        path: A mask, of which every pixel that is not 0 counts (VisA and MVTec LOCO
            number kinds of defects); or a folder of masks of one image that count
            together.

    Returns:
        (height, width); True is anomalous.

    Raises:
        ImageError: A mask is missing or unreadable, a folder has none, or those in it
            differ in size.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import read_mask
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (6, 4), 255).save(Path(folder, "mask.png"))
        ...     int(read_mask(Path(folder, "mask.png")).sum())
        24
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
