"""One image as numbers: grey or RGB, float32 in [0, 1], checked, resized.

Every source passes through these functions with the same arithmetic, so a picture
gives the same pixels whether it came as a file, an array, a tensor or a PIL image.
"""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from adlib._typing import AnyArray, Float32Array
from adlib._validation import describe
from adlib.exceptions import ImageError, InputWarning

ColorOrder: TypeAlias = Literal["rgb", "bgr"]
Resize: TypeAlias = Literal["stretch", "letterbox"]
GREY, COLOUR = 2, 3  # dimensions of an image
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
UINT8_MAX, UINT16_MAX = 255, 65535
DARKEST = 1.001 / 255  # share of white that no photograph stays below
FEW_BITS = 14  # of 16: cameras have 10, 12 or 14
ROUNDING = 1e-6  # by which floats may leave [0, 1], as sums in float32 do
ROUNDING_HALF = 2e-3  # the same in float16
SHARES = (np.arange(256, dtype=np.float32) / np.float32(UINT8_MAX)).tolist()  # of white


class PixelFormat(NamedTuple):
    """What the numbers of an image mean where they do not say so themselves.

    Attributes:
        color: Order of the channels of arrays and tensors, "rgb" or "bgr" (OpenCV's).
        max_value: What counts as white in images of 16 bits and of floats; None: 65535
            and 1.
    """

    color: ColorOrder = "rgb"
    max_value: float | None = None


PLAIN = PixelFormat()


class UsedRange:
    """The largest values in the images of a source, to warn of dark images.

    16-bit images may use fewer bits; others may have been scaled twice. Threads may
    call ``note`` at once.
    """

    def __init__(self, pixel_format: PixelFormat, owner: str) -> None:
        self._white = pixel_format.max_value
        self._owner = owner
        self._largest = 0  # of 16-bit images of unknown white
        self._brightest = 0.0  # of the others, as a share of white
        self._lock = Lock()

    def note(self, image: AnyArray) -> None:
        """Take an image into account, of any kind."""
        if image.dtype.kind not in "uf" or not image.size:
            return
        largest = float(np.ma.getdata(image).max())
        with self._lock:
            if _is_sixteen_bit(image):
                self._brightest = 1.0
                if self._white is None:
                    self._largest = max(self._largest, int(largest))
            else:
                white = UINT8_MAX if image.dtype == np.uint8 else self._white or 1
                self._brightest = max(self._brightest, largest / white)

    def warn(self) -> None:
        """Warn, once, where all 16-bit images, or all images, are nearly black."""
        if 0 < self._brightest <= DARKEST:
            text = (
                f"The images of {self._owner} use {100 * self._brightest:.2g} % of "
                "their range, so they are nearly black: they may be masks, or scaled "
                "twice. Pass uint8 of 0 to 255, or floats of 0.0 to max_value (1.0)."
            )
        elif 0 < self._largest < 2**FEW_BITS:
            bits = max(self._largest.bit_length(), 8)
            bits += bits % 2
            text = (
                f"The 16-bit images of {self._owner} use values up to {self._largest} "
                f"of {UINT16_MAX}, so they are nearly black. Pass max_value="
                f"{2**bits - 1} if they have {bits} bits, or max_value={UINT16_MAX} if "
                "they are that dark."
            )
        else:
            return
        self._brightest, self._largest = 1.0, UINT16_MAX
        warnings.warn(text, InputWarning, stacklevel=2)


def as_pixels(
    image: AnyArray, name: str, pixel_format: PixelFormat = PLAIN
) -> Float32Array:
    """Return a copy as ``checked`` does, but float32 in [0, 1] from every dtype."""
    return as_shares(checked(image, name, pixel_format))


def checked(image: AnyArray, name: str, pixel_format: PixelFormat = PLAIN) -> AnyArray:
    """Return grey (h, w) or RGB (h, w, 3) pixels, uint8 or float32 in [0, 1].

    uint8 stays as it is, a view of ``image``: ``resize`` takes less time and memory for
    bytes. All else is a copy.

    Args:
        image: (h, w) or (h, w, 1, 3 or 4); uint8 spans its whole range, uint16 does, or
            reaches to ``max_value``, floats must lie in [0, 1], or [0, ``max_value``],
            but for rounding. An alpha channel is dropped.
        name: What errors call the image.
        pixel_format: The order of its channels, and what counts as white.

    Raises:
        ImageError: The shape, the dtype or a value is not as stated, or it is a NumPy
            masked array that hides pixels.
    """
    is_colour = image.ndim == COLOUR and image.shape[2] in CHANNELS
    if not (image.ndim == GREY or is_colour) or 0 in image.shape:
        raise ImageError(
            f"{name} must be (height, width) or (height, width, 1, 3 or 4), not empty; "
            f"got {describe(image)}."
        )
    if np.ma.is_masked(image):
        remedy = "Fill it: image.filled(0), or leave the image out."
        raise ImageError(f"{name} must not hide pixels; got a masked array. {remedy}")
    if is_colour:
        image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
        if image.ndim == COLOUR and pixel_format.color == "bgr":
            image = image[:, :, ::-1]
    white = pixel_format.max_value
    if image.dtype == np.uint8:
        return image
    if _is_sixteen_bit(image):
        if white is not None and image.max() > white:
            raise _outside(name, image, white)
        return np.asarray(image.astype(np.float32) / np.float32(white or UINT16_MAX))
    if image.dtype.kind != "f":
        remedy = "Pass image.astype(np.uint8) where its values go from 0 to 255."
        if image.dtype == np.bool_:
            remedy = "Pass image * np.uint8(255)."
        raise ImageError(
            f"{name} must be uint8, uint16 or float in [0, 1]; got {describe(image)}. "
            f"{remedy}"
        )
    shares = image if white is None else image / white
    slack = ROUNDING_HALF if shares.dtype.itemsize == 2 else ROUNDING  # noqa: PLR2004 - bytes
    low, high = float(shares.min()), float(shares.max())
    if not (low >= -slack and high <= 1.0 + slack):  # so that NaN fails too
        raise _outside(name, image, white)
    return np.clip(shares.astype(np.float32), 0.0, 1.0)


def _is_sixteen_bit(image: AnyArray) -> bool:
    return image.dtype.kind == "u" and image.dtype.itemsize == 2  # noqa: PLR2004 - bytes


def _outside(name: str, image: AnyArray, white: float | None) -> ImageError:
    """Return the error for values that no pixel has, which it prints exactly."""
    low, high = float(image.min()), float(image.max())
    remedy = "Pass pixels as they are: adlib normalises them for its backbone."
    if white is not None:
        remedy = "Raise max_value to what counts as white."
    elif 1.0 < high < np.inf and low >= -ROUNDING:
        remedy = "Divide by the largest possible value, set max_value to it, or pass "
        remedy += "uint8 or uint16."
    kind = "floats" if image.dtype.kind == "f" else "values"
    return ImageError(
        f"{name} must be finite and in [0, {white or 1}]; got {kind} from {low!r} to "
        f"{high!r}. {remedy}"
    )


def as_shares(pixels: AnyArray) -> Float32Array:
    """Return what ``checked`` gave as float32, shares of white."""
    if pixels.dtype != np.uint8:
        return pixels
    return np.asarray(pixels.astype(np.float32) / np.float32(UINT8_MAX))


class Box(NamedTuple):
    """Where an image lies in ``image_size``."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, size: tuple[int, int], image_size: tuple[int, int]) -> Box:
        """Return the largest box in the middle with the aspect ratio of ``size``."""
        scale = min(space / side for space, side in zip(image_size, size, strict=True))
        height, width = (max(1, round(side * scale)) for side in size)
        top, left = (image_size[0] - height) // 2, (image_size[1] - width) // 2
        return cls(top, left, height, width)

    def cut(self, plane: AnyArray) -> AnyArray:
        """Return what of an image or map, of ``image_size``, lies in it."""
        bottom, right = self.top + self.height, self.left + self.width
        return plane[self.top : bottom, self.left : right]


def letterbox(pixels: AnyArray, size: tuple[int, int], *, edge: bool) -> Float32Array:
    """Resize an image as ``resize`` does, but into its box, with its aspect ratio.

    Around the box lie its outermost pixels (``edge``) or zeros.
    """
    box = Box.of((pixels.shape[0], pixels.shape[1]), size)
    inner = resize(pixels, (box.height, box.width))
    bottom = size[0] - box.top - box.height
    right = size[1] - box.left - box.width
    around = [(box.top, bottom), (box.left, right), (0, 0)][: pixels.ndim]
    return np.pad(inner, around, mode="edge" if edge else "constant")


def resize(pixels: AnyArray, size: tuple[int, int]) -> Float32Array:
    """Resize an image to (height, width), bilinear with antialiasing, in float32.

    The aspect ratio is not kept (``letterbox`` keeps it): the whole image fills the
    whole input, so that every map covers every pixel (a crop would leave the border
    uninspected).

    Takes (h, w) or (h, w, 3), uint8 or float32, as ``checked`` gives them, and returns
    float32; ``pixels`` itself where it is float32 and has that size.
    """
    if pixels.shape[:2] == size:
        return as_shares(pixels)
    height, width = size

    def shrink(plane: AnyArray) -> Float32Array:
        image = Image.fromarray(np.ascontiguousarray(plane))
        if plane.dtype == np.uint8:  # a table in Pillow: no array of floats is copied
            image = image.point(SHARES, "F")
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))

    if pixels.ndim == GREY:
        return shrink(pixels)
    resized = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # each freed before the next: half the time of np.stack
        resized[:, :, channel] = shrink(pixels[:, :, channel])
    return resized
