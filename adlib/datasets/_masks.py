"""Ground-truth masks as their publishers store them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adlib._masks import count_values, half_of_range, marked_pixels, numbers_kinds
from adlib._typing import AnyArray, BoolArray, UInt8Array
from adlib._validation import describe, refusal
from adlib.datasets._layouts import image_files
from adlib.exceptions import ImageError
from adlib.images import read_image

GREY = 2  # dimensions of a mask without colours
# Some of these can be lossless; more than two values are not trusted in any of them.
LOSSY_FORMATS = frozenset(
    ["AVIF", "HEIF", "JPEG", "JPEG2000", "JXL", "MPO", "WEBP", "jpeg", "webp"]
)
LEAST_RANGE = 128  # of values that lossy compression does not mix
SAVE = "Save masks as PNG, grey, 0 where normal and 255 where anomalous."
# Why a mask may be misread: kind, path and text of a ``Problem``.
Doubt: TypeAlias = tuple[str, Path, str]


def read_mask(path: str | os.PathLike[str]) -> BoolArray:
    """Read which pixels are anomalous.

    Pixels above half of the range of values that the mask uses are anomalous; those of
    1-bit masks are as they are. Masks that number kinds of defects (VisA, MVTec LOCO)
    hold at most four different whole numbers, or none above 63: of these all above the
    lowest, which is 0, are anomalous. One value all over marks every pixel, or none if
    it is 0.

    A mask in colours counts by the highest of its channels, so its normal pixels are
    black. An alpha channel is the mask where all pixels have one colour; else what is
    transparent is normal. Inverted masks are not detected: ``verify`` reports masks
    that mark more than half of their pixels, and all others that may be misread.

    Args:
        path: A mask, or a folder of masks of one image that count together.

    Returns:
        (height, width); True is anomalous.

    Raises:
        TypeError: ``path`` is no path.
        ImageError: A mask is missing or unreadable; it has colours and nothing black in
            it, or is black and transparent alone; its values, in a lossy format (JPEG),
            are nearer than 128; a folder has none, or those in it differ in size.

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
    return read_doubtful_mask(path)[0]


def read_doubtful_mask(path: str | os.PathLike[str]) -> tuple[BoolArray, list[Doubt]]:
    """Read a mask as ``read_mask`` does, and say what in it may be misread."""
    if not isinstance(path, str | os.PathLike) or path == "":
        remedy = "Of an array take mask != 0, or mask > 127 where edges are soft."
        rule = "the path of a file or folder"
        raise TypeError(refusal("path", "read_mask", rule, describe(path), remedy))
    place = Path(path)
    read = [_read_one(file) for file in image_files(place)]
    if not place.is_dir():
        read = [_read_one(place)]
    elif len({mask.shape for mask, _ in read}) != 1:
        sizes = ", ".join(sorted({"{}x{}".format(*mask.shape) for mask, _ in read}))
        raise ImageError(
            f"{place} must hold masks of one size; it holds {sizes or 'none'}."
        )
    marked = np.asarray(np.logical_or.reduce([mask for mask, _ in read]))
    doubts = [doubt for _, own in read for doubt in own]
    share = float(marked.mean())
    if share > 0.5:  # noqa: PLR2004 - most pixels
        doubts.append(("mostly marked mask", place, f"marks {share:.0%} of the image"))
    return marked, doubts


def _read_one(path: Path) -> tuple[BoolArray, list[Doubt]]:
    """Return what a file marks, and what in it may be misread."""
    colours = read_image(path)
    lossy_format, alpha = _format_and_alpha(path)
    values, in_alpha = _plane(path, colours, alpha)
    low, high = values.min(), values.max()
    if not (low >= 0 and high < np.inf):  # so that NaN fails too
        raise ImageError(f"{path} must hold finite values of at least 0. {SAVE}")
    n_values = count_values(values)
    lossy = lossy_format is not None and n_values > 2  # noqa: PLR2004 - nothing was lost
    if lossy_format is not None and 0 < high - low < LEAST_RANGE:
        raise ImageError(
            f"{path} must not hold values as near as {low:g} to {high:g} in a format "
            f"that can be lossy ({lossy_format}) and mix them. {SAVE}"
        )
    doubts = []
    found = f"{n_values} different values from {low:g} to {high:g}"
    cut = f"those above {half_of_range(values):g} count as anomalous"
    if lossy:
        text = f"holds {found} in a lossy format ({lossy_format}); {cut}"
        doubts.append(("lossy mask", path, text))
    elif not numbers_kinds(values):
        doubts.append(("many-valued mask", path, f"holds {found}; {cut}"))
    elif 0 < low < high:
        text = f"holds no 0; its lowest value, {low:g}, counts as normal"
        doubts.append(("mask without 0", path, text))
    if in_alpha:
        text = "has one colour, so that its alpha channel counts as the mask"
        doubts.append(("mask in alpha", path, text))
    return marked_pixels(values, lossy=lossy), doubts


def _plane(
    path: Path, colours: AnyArray, alpha: UInt8Array | None
) -> tuple[AnyArray, bool]:
    """Return one value a pixel, and whether these are the alpha channel's."""
    varied = bool((colours != colours[0, 0]).any())
    if alpha is not None and alpha.min() == alpha.max():
        alpha = None
    if alpha is not None and not varied:
        return alpha, True
    values = colours if colours.ndim == GREY else colours.max(axis=2)
    if alpha is not None:
        values = values * (alpha / 255)
        if not values.any():
            raise ImageError(
                f"{path} must mark what can be seen; it is black wherever it is not "
                f"transparent. {SAVE}"
            )
    grey = colours.ndim == GREY or (colours == colours[:, :, :1]).all()
    if varied and not grey and values.min() > half_of_range(values) / 2:
        raise ImageError(
            f"{path} has colours and must be black where normal; none of its pixels "
            f"is. {SAVE}"
        )
    return values, False


def _format_and_alpha(path: Path) -> tuple[str | None, UInt8Array | None]:
    """Return a file's format if that can be lossy, and its alpha channel if any."""
    # Some files are decoded otherwise; of these Pillow knows nothing.
    with suppress(UnidentifiedImageError), Image.open(path) as image:
        names = {image.format, image.info.get("compression")} & LOSSY_FORMATS
        alpha = None
        if "A" in image.getbands() or (
            "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
        ):
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            alpha = np.asarray(upright.getchannel("A"))
        return next(iter(names), None), alpha
    return None, None
