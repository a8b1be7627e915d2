"""Turn image files and PIL images of any mode into arrays of what they mean."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adlib._typing import AnyArray
from adlib.exceptions import ImageError

SUFFIXES = frozenset(
    [
        ".bmp",
        ".dib",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
GREY_MODES = ("1", "L", "LA", "La")
SIXTEEN_BIT_MAX = 65535


def read_image(path: Path) -> AnyArray:
    """Decode an image file to the pixels that it holds.

    The first frame of several; turned upright as EXIF says; palettes, CMYK and other
    colour spaces become RGB; an alpha channel is dropped.

    Args:
        path: A file of a kind that Pillow reads, whatever its suffix.

    Returns:
        (h, w) grey or (h, w, 3) RGB, as deep as the file: uint8, uint16, or float32
        from files of floats.

    Raises:
        ImageError: The file is missing, unreadable, no image that PIL can decode, or of
            more pixels than twice ``PIL.Image.MAX_IMAGE_PIXELS``, which are more than a
            camera has: a small file can claim any number.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.images import read_image
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "part.png")
        ...     Image.new("L", (6, 4), 255).save(path)
        ...     read_image(path).shape
        (4, 6)
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise ImageError("must be a regular file; it is something else.")
        # Not by path: Pillow then maps uncompressed TIFFs and turns them wrongly.
        with path.open("rb") as file, Image.open(file) as image:
            return decode(image)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{path} must be an image of at most {_most_pixels()} pixels: {error} If "
            "you trust it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except Exception as error:  # PIL's decoders raise many kinds on broken files
        raise ImageError(
            f"{path} must be a readable image; it cannot be decoded "
            f"({type(error).__name__}: {error})."
        ) from error


def decode(image: Image.Image) -> AnyArray:
    """Return the pixels of a PIL image, upright, grey or RGB, in their own depth."""
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode in SIXTEEN_BIT_MODES or mode == "F":
        return np.asarray(upright)
    if mode == "I":  # 32-bit integers, which is how some readers hand out 16 bits
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > SIXTEEN_BIT_MAX:
            raise ImageError(
                f"32-bit grey values must lie in [0, {SIXTEEN_BIT_MAX}]; got "
                f"{values.min()} to {values.max()}."
            )
        return values.astype(np.uint16)
    if mode == "La":  # PIL knows no direct way
        upright = upright.convert("LA")
    upright.info.pop("transparency", None)  # alpha is dropped; PIL would warn of it
    return np.asarray(upright.convert("L" if mode in GREY_MODES else "RGB"))


def _most_pixels() -> str:
    """Return Pillow's limit in words: it warns at the number and refuses twice it."""
    limit = Image.MAX_IMAGE_PIXELS
    return "so many" if limit is None else f"{2 * limit:,}"
