"""One image as numbers: grey or RGB, float32 in [0, 1], checked, resized.

Every source passes through these two functions with the same arithmetic, so a picture
gives the same pixels whether it came as a file, an array, a tensor or a PIL image.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from adlib._typing import AnyArray, Float32Array
from adlib._validation import describe
from adlib.exceptions import ImageError

GREY, COLOUR = 2, 3  # dimensions of an image
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


def as_pixels(image: AnyArray, name: str) -> Float32Array:
    """Return grey (h, w) or RGB (h, w, 3) pixels, float32 in [0, 1].

    Args:
        image: (h, w) or (h, w, 1, 3 or 4); uint8 and uint16 span their whole range,
            floats must lie in [0, 1]. An alpha channel is dropped.
        name: What errors call the image.

    Returns:
        (h, w) or (h, w, 3), values in [0, 1]; a copy.

    Raises:
        ImageError: The shape, the dtype or a value is not as stated.

    Example:
        >>> import numpy as np
        >>> from adlib.images import as_pixels
        >>> as_pixels(np.array([[0, 51, 255]], np.uint8), "a row")
        array([[0. , 0.2, 1. ]], dtype=float32)
    """
    shape_fits = image.ndim == GREY or (
        image.ndim == COLOUR and image.shape[2] in CHANNELS
    )
    if not shape_fits or 0 in image.shape:
        raise ImageError(
            f"{name} must be (height, width) or (height, width, 1, 3 or 4), not empty; "
            f"got {describe(image)}."
        )
    if image.ndim == COLOUR:
        image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # noqa: PLR2004 - bytes
        return image.astype(np.float32) / np.float32(65535)
    if image.dtype.kind != "f":
        raise ImageError(
            f"{name} must be uint8, uint16 or float in [0, 1]; got {describe(image)}."
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0.0 and high <= 1.0):  # so that NaN fails too
        remedy = "Pass pixels as they are: adlib normalises them for its backbone."
        if 1.0 < high < np.inf and low >= 0.0:
            remedy = "Divide by the largest possible value, or pass uint8 or uint16."
        raise ImageError(
            f"{name} must be finite and in [0, 1]; got floats from {low:g} to "
            f"{high:g}. {remedy}"
        )
    return image.astype(np.float32)


def resize(pixels: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Resize an image to (height, width), bilinear with antialiasing, in float32.

    The aspect ratio is not kept: the whole image fills the whole input, so that every
    map covers every pixel (a crop would leave the border uninspected).

    Args:
        pixels: (h, w) or (h, w, 3), as ``as_pixels`` gives it.
        size: (height, width) in pixels.

    Returns:
        (height, width) or (height, width, 3); ``pixels`` itself where it has that size.

    Example:
        >>> import numpy as np
        >>> from adlib.images import resize
        >>> resize(np.array([[0.0, 0.5], [0.5, 1.0]], np.float32), (1, 1))
        array([[0.5]], dtype=float32)
    """
    if pixels.shape[:2] == size:
        return pixels
    height, width = size

    def shrink(plane: Float32Array) -> Float32Array:
        plane = np.ascontiguousarray(plane)
        small = Image.fromarray(plane).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        return np.asarray(small)

    if pixels.ndim == GREY:
        return shrink(pixels)
    return np.stack([shrink(pixels[:, :, channel]) for channel in range(3)], axis=2)
