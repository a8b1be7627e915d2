"""The region of interest: which pixels of an image count."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from adlib._masks import marked_pixels
from adlib._typing import AnyArray, BoolArray, Float32Array
from adlib._validation import describe, refusal
from adlib.exceptions import ImageError
from adlib.images._decode import read_image
from adlib.images._pixels import GREY, letterbox, resize

# A mask's path, the mask, polygons of (x, y), or a function of an image's pixels.
RegionLike: TypeAlias = (
    str | os.PathLike[str] | AnyArray | Sequence[Any] | Callable[[AnyArray], AnyArray]
)
RULE = (
    "None, the path of a mask, a mask of bool or uint8 (height, width), a polygon or "
    "several, each of at least 3 points (x, y), or a function of an image's pixels"
)
CORNERS = 3  # that a polygon has at least
POINT = 2  # numbers


class RegionOfInterest:
    """A region, and what it is of images at ``image_size``.

    Of polygons it becomes a mask with the first image, whose size all others must have.

    Args:
        region: As ``PatchCore`` takes it.
        image_size: (height, width) that images are resized to.
        owner: What errors call its owner.
        boxed: Whether ``letterbox`` resizes images, so that what lies around an image
            is outside.

    Attributes:
        region: The mask, (height, width) bool; or the function; or None.
        boxed: As given.

    Raises:
        ImageError: The mask cannot be read.
        TypeError, ValueError: The region is none, or empty.
    """

    def __init__(
        self,
        region: RegionLike | None,
        image_size: tuple[int, int],
        owner: str,
        *,
        boxed: bool = False,
    ) -> None:
        self._image_size, self._owner, self.boxed = image_size, owner, boxed
        self._polygons: list[AnyArray] = []
        self.region: BoolArray | Callable[[AnyArray], AnyArray] | None = None
        self._share: Float32Array | None = None
        self._size: tuple[int, int] | None = None  # without a region, of that share
        if region is None or callable(region):
            self.region = region
        elif isinstance(region, str | os.PathLike):
            pixels = read_image(region)
            lightness = pixels if pixels.ndim == GREY else pixels.max(axis=2)
            self._take(marked_pixels(lightness))
        elif isinstance(region, np.ndarray) and region.dtype in (np.bool_, np.uint8):
            if region.ndim != GREY:
                raise ValueError(refusal("region", owner, RULE, describe(region)))
            self._take(region != 0)
        else:
            self._polygons = _polygons(region, owner)

    @property
    def drawn(self) -> bool:
        """Whether no image is needed any more to draw polygons."""
        return not self._polygons

    def share_of(self, pixels: AnyArray, name: str) -> Float32Array | None:
        """Ask a function about one image, in any thread; None where there is none.

        What it returns is the share of each pixel at ``image_size`` that lies inside.
        """
        if not callable(self.region):
            return None
        seen = pixels.view()
        seen.flags.writeable = False
        mask = np.asarray(self.region(seen))
        if mask.shape != pixels.shape[:2] or mask.dtype not in (np.bool_, np.uint8):
            rule = (
                f"a function that returns bool or uint8 {pixels.shape[:2]} for {name}"
            )
            raise ValueError(refusal("region", self._owner, rule, describe(mask)))
        if not mask.any():
            raise ImageError(f"{name} has no pixel in the region of {self._owner}.")
        return self._resized(mask != 0)

    def share(self, size: tuple[int, int], name: str) -> Float32Array:
        """Return the same for a mask or polygons; ``size`` is that of the image.

        Images must come in order: the first says what polygons are drawn in.
        """
        if self._polygons:
            mask = drawn(self._polygons, size)
            self._polygons = []
            self._take(mask)
        if self.region is None:
            if self._size != size:
                self._size, self._share = size, self._resized(np.ones(size, np.bool_))
            assert self._share is not None
            return self._share
        assert isinstance(self.region, np.ndarray)
        assert self._share is not None
        if self.region.shape != size:
            height, width = self.region.shape
            raise ImageError(
                f"{name} must have the size of the region of {self._owner}, "
                f"{height}x{width}; got {size[0]}x{size[1]}."
            )
        return self._share

    def _take(self, mask: BoolArray) -> None:
        if not mask.any():
            rule = "such that a pixel of the image lies in it"
            came = f"one without any, of {mask.shape[0]}x{mask.shape[1]}"
            raise ValueError(refusal("region", self._owner, rule, came))
        self.region, self._share = mask, self._resized(mask)

    def _resized(self, mask: BoolArray) -> Float32Array:
        values = mask.astype(np.uint8) * np.uint8(255)
        if self.boxed:
            return letterbox(values, self._image_size, edge=False)
        # A copy, since torch takes only arrays that may be written.
        return np.array(resize(values, self._image_size))


def _polygons(region: object, owner: str) -> list[AnyArray]:
    """Return polygons, (n, 2) float64 each, of one or several; or raise."""
    listed: Any = region
    if isinstance(region, str) or not hasattr(region, "__len__") or not len(listed):
        raise TypeError(refusal("region", owner, RULE, describe(region)))
    try:
        is_one = np.ndim(listed[0][0]) == 0
        found = [np.asarray(one, float) for one in ([listed] if is_one else listed)]
    except (TypeError, ValueError, IndexError, KeyError):
        raise TypeError(refusal("region", owner, RULE, describe(region))) from None
    for points in found:
        fits = points.ndim == GREY and points.shape[1] == POINT
        if not fits or len(points) < CORNERS or not np.isfinite(points).all():
            raise ValueError(refusal("region", owner, RULE, describe(region)))
    return found


def drawn(polygons: Sequence[AnyArray], size: tuple[int, int]) -> BoolArray:
    """Return which pixels have their centre in a polygon."""
    from skimage.draw import polygon2mask  # noqa: PLC0415 - not needed by most

    mask = np.zeros(size, np.bool_)
    for points in polygons:
        # The centre of the first pixel is at 0 here, and at 0.5 in annotations.
        mask |= polygon2mask(size, points[:, ::-1] - 0.5)
    return mask
