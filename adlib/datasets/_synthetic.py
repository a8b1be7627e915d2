"""Defects of a stated kind, size and contrast, drawn on images of good parts.

A defect is a layer over the image: how opaque it is at each pixel, and what is seen
there. Pixels where it is hardly opaque stay as they are, bit for bit; all others are
the mask.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from adlib._typing import AnyArray, BoolArray, Float64Array
from adlib._validation import (
    check_option,
    check_positive,
    check_random_state,
    check_ratio,
    describe,
    refusal,
)

SyntheticKind: TypeAlias = Literal["scratch", "spot", "stain", "texture"]
VISIBLE = 0.1  # below this opacity a layer leaves the pixel alone
OVERVIEW = 256  # pixels along the longer side of the picture that places are drawn from
WINDOW = 13  # pixels of it in which contrast is local
BINS = 128
# What two groups explain of a spread: 0.64 of a normal one, 0.75 of an even one.
TWO_GROUPS = 0.76
GREY, COLOUR = 2, 3  # dimensions of an image


class SyntheticDefect(NamedTuple):
    """An image with a defect, which differs from the good one only inside the mask.

    Attributes:
        image: (height, width) or (height, width, 3), of the good image's dtype.
        mask: (height, width) bool.
    """

    image: AnyArray
    mask: BoolArray


def draw_defect(
    image: Any,
    kind: SyntheticKind,
    size: float,
    contrast: float = 0.2,
    *,
    region: Any = None,
    random_state: int | None = 0,
) -> SyntheticDefect:
    """Return a copy of an image of a good part with one defect drawn on it.

    "scratch": a thin line, slightly bent, lighter or darker than the surface; "spot": a
    disc with a hard edge; "stain": one whose edge is as wide as its radius, through
    which the surface shows; "texture": a disc with a grain of its own, as bright as the
    surface on average.

    Where nothing else is stated, its middle is anywhere, all places being as likely;
    but where local contrast falls into two clear groups, as of a part on an empty
    background, only where it is high. State a region where that is not what matters.

    Args:
        image: (height, width) or (height, width, 3), uint8, uint16 or floats in [0, 1].
        kind: "scratch", "spot", "stain" or "texture".
        size: Its length or diameter in pixels, at least 1 and at most half of the
            image's shorter side.
        contrast: Difference from the surface where it is opaque, as a share of white,
            in (0, 1]; of a texture twice the standard deviation of its grain. It is
            taken lighter or darker at random, where both fit between black and white.
        region: (height, width) bool: where the middle of the defect may be; or None.
        random_state: Seeds place, direction and shape; None draws others every time.

    Returns:
        The image and the mask.

    Raises:
        TypeError, ValueError: An argument is not as stated.

    Example:
        >>> import numpy as np
        >>> from adlib.datasets import draw_defect
        >>> good = np.full((64, 64), 128, np.uint8)
        >>> flawed = draw_defect(good, "spot", 12, contrast=0.25)
        >>> bool((flawed.image[~flawed.mask] == 128).all())
        True
        >>> flawed.mask.any(axis=0).sum().item()
        12
    """
    owner = "draw_defect"
    pixels, white = _check_image(image, owner)
    check_option(kind, "kind", owner, get_args(SyntheticKind))
    size = check_positive(size, "size", owner)
    shape = pixels.shape[:2]
    if not 1 <= size <= min(shape) / 2:
        rule = f"in [1, {min(shape) / 2:g}], half of the image's shorter side"
        raise ValueError(refusal("size", owner, rule, size))
    contrast = check_ratio(contrast, "contrast", owner, closed=True)
    rng = np.random.default_rng(check_random_state(random_state, "random_state", owner))
    centre = _place(pixels, size, _check_region(region, shape, owner), rng)
    reach = math.ceil(size / 2) + 2
    top, left = (max(0, round(c) - reach) for c in centre)
    window = (
        slice(top, min(shape[0], round(centre[0]) + reach + 1)),
        slice(left, min(shape[1], round(centre[1]) + reach + 1)),
    )
    below = pixels[window].astype(np.float64) / white
    if below.ndim == GREY:
        below = below[..., np.newaxis]
    y, x = np.mgrid[window]
    matte = _matte(kind, y - centre[0], x - centre[1], size, rng)
    inside = matte >= VISIBLE
    opacity = np.where(inside, matte, 0.0)[..., np.newaxis]
    drawn = np.clip(below + opacity * _change(kind, below, inside, contrast, rng), 0, 1)
    drawn *= white
    if pixels.dtype.kind == "u":
        drawn = np.rint(drawn)
    result, mask = pixels.copy(), np.zeros(shape, np.bool_)
    # Only inside of the mask: floats would not survive the way there and back.
    result[window][inside] = drawn.reshape(*inside.shape, *pixels.shape[2:])[inside]
    mask[window] = inside
    return SyntheticDefect(result, mask)


def _check_image(image: Any, owner: str) -> tuple[AnyArray, float]:
    """Return an image and what is white in it, or raise."""
    pixels = np.asarray(image)
    is_image = pixels.ndim == GREY or (pixels.ndim == COLOUR and pixels.shape[2] == 3)  # noqa: PLR2004 - colours
    fits = pixels.dtype.kind == "f" or pixels.dtype in (np.uint8, np.uint16)
    if not (is_image and fits and pixels.size):
        rule = "(height, width) or (height, width, 3), uint8, uint16 or float"
        kind = TypeError if is_image and pixels.size else ValueError
        raise kind(refusal("image", owner, rule, describe(image)))
    if pixels.dtype.kind == "u":
        return pixels, float(np.iinfo(pixels.dtype).max)
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # so that NaN fails too
        rule = "in [0, 1] where it is float"
        came = f"values from {pixels.min():g} to {pixels.max():g}"
        raise ValueError(refusal("image", owner, rule, came))
    return pixels, 1.0


def _check_region(region: Any, shape: tuple[int, ...], owner: str) -> BoolArray | None:
    if region is None:
        return None
    allowed = np.asarray(region)
    if allowed.dtype != np.bool_ or allowed.shape != shape or not allowed.any():
        rule = f"bool of the image's shape, {shape}, and True somewhere"
        raise ValueError(refusal("region", owner, rule, describe(region)))
    return allowed


def _place(
    pixels: AnyArray, size: float, region: BoolArray | None, rng: Generator
) -> Float64Array:
    """Return the middle of a defect, (y, x), for it to be inside of the image."""
    shape = pixels.shape[:2]
    allowed, step = _busy(pixels) if region is None else (region, 1.0)
    chosen = np.unravel_index(rng.choice(np.flatnonzero(allowed)), allowed.shape)
    middle = (np.array(chosen) + rng.random(2)) * step - 0.5
    return np.clip(middle, size / 2, np.array(shape) - 1 - size / 2)


def _busy(pixels: AnyArray) -> tuple[BoolArray, float]:
    """Return where a small picture is not empty, and how many pixels its step is."""
    height, width = pixels.shape[:2]
    step = max(1.0, max(height, width) / OVERVIEW)
    grey = pixels if pixels.ndim == GREY else pixels[..., 1]
    small = Image.fromarray(np.ascontiguousarray(grey, np.float32)).resize(
        (math.ceil(width / step), math.ceil(height / step)), Image.Resampling.BOX
    )
    plane = np.asarray(small, np.float64)
    mean, squares = (ndimage.uniform_filter(one, WINDOW) for one in (plane, plane**2))
    variance = np.maximum(squares - mean**2, 1e-6 * max(float(plane.max()) ** 2, 1e-6))
    levels = np.log(variance)
    if levels.std() < 1e-9:  # noqa: PLR2004 - the rounding of one level
        return np.ones(levels.shape, np.bool_), step
    # Otsu's method: the cut that explains most of the variance.
    counts, edges = np.histogram(levels, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1] / levels.size
    sums = np.cumsum(counts * middles)[:-1] / levels.size
    mean_level = float((counts * middles).sum()) / levels.size
    explained = (mean_level * below - sums) ** 2 / (below * (1 - below))
    cut = int(explained.argmax())
    spread = float((counts * (middles - mean_level) ** 2).sum()) / levels.size
    if explained[cut] / spread < TWO_GROUPS:
        return np.ones(levels.shape, np.bool_), step
    return levels >= edges[cut + 1], step


def _matte(
    kind: str, y: Float64Array, x: Float64Array, size: float, rng: Generator
) -> Float64Array:
    """Return opacities in [0, 1] from the distances to the middle, in pixels."""
    angle = rng.uniform(0.0, math.pi)
    if kind == "scratch":
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        bend = rng.uniform(-0.2, 0.2)
        across = across + bend * along**2 / size
        width = max(1.0, size / 16)
        beside = np.clip((width + 1) / 2 - np.abs(across), 0.0, 1.0)
        return np.asarray(beside * np.clip((size + 1) / 2 - np.abs(along), 0.0, 1.0))
    radius = np.hypot(y, x)
    if kind == "stain":
        share = np.clip(1.0 - (1 - VISIBLE) * 2 * radius / size, 0.0, 1.0)
        return np.asarray(share)
    return np.asarray(np.clip((size + 1) / 2 - radius, 0.0, 1.0))


def _change(
    kind: str,
    below: Float64Array,
    inside: BoolArray,
    contrast: float,
    rng: Generator,
) -> Float64Array:
    """Return the difference from the surface where the defect is opaque."""
    if kind == "texture":
        grain = ndimage.gaussian_filter(rng.standard_normal(inside.shape), 0.8)
        grain -= grain[inside].mean()
        grain /= max(float(grain[inside].std()), 1e-9)
        return np.asarray(contrast / 2 * grain[..., np.newaxis])
    level = float(below[inside].mean())
    darker = rng.random() < 0.5  # noqa: PLR2004 - either
    if level < contrast:
        darker = False
    elif level > 1 - contrast:
        darker = True
    return np.full_like(below, -contrast if darker else contrast)
