"""Turn and shift images so that their part lies where a reference image has it."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np

from adlib._typing import AnyArray, Float32Array, Float64Array, Int32Array, UInt8Array
from adlib._validation import describe, refusal
from adlib.exceptions import AlignmentError, ImageError
from adlib.images._decode import read_image
from adlib.images._pixels import GREY, UINT8_MAX, Box, as_pixels, resize

Reference: TypeAlias = str | os.PathLike[str] | AnyArray
LONGEST = 256  # side at which images are compared
COARSE = 4  # and that, smaller by this factor, at which first guesses are
STEPS, CHANGE = 100, 1e-6  # that ECC takes at most, and the change at which it stops
FILTER = 5  # pixels, of ECC's Gaussian
LEAST_CORRELATION = 0.7  # of an image and the reference, once it is aligned


class Alignment:
    """Finds how an image's part lies, against a reference image.

    Phase correlation guesses a shift, and the enhanced correlation coefficient (ECC) of
    grey values is then maximised over shifts and rotations, by OpenCV.

    Args:
        reference: As ``PatchCore`` takes ``align``, but for None.
        image_size: (height, width) that images are resized to.
        owner: What errors call its owner.
        boxed: Whether ``letterbox`` resizes images.

    Attributes:
        reference: Grey, (height, width) uint8, at the size of images.

    Raises:
        ImageError: The reference cannot be read.
        TypeError: It is no image.
        ImportError: OpenCV is not installed.

    References:
        1. G. Evangelidis and E. Psarakis, "Parametric image alignment using enhanced
           correlation coefficient maximization", PAMI 2008.
    """

    def __init__(
        self,
        reference: Reference,
        image_size: tuple[int, int],
        owner: str,
        *,
        boxed: bool = False,
    ) -> None:
        _opencv()  # before anything is read
        self._owner = owner
        is_path = isinstance(reference, str | os.PathLike)
        pixels: Any = read_image(reference) if is_path else reference  # type: ignore[arg-type]
        if not isinstance(pixels, np.ndarray):
            rule = "None, the path of a reference image, or its pixels"
            raise TypeError(refusal("align", owner, rule, describe(reference)))
        grey = _grey(as_pixels(pixels, f"align of {owner}"))
        self.reference: UInt8Array = np.rint(grey * UINT8_MAX).astype(np.uint8)
        height, width = self.reference.shape
        self._size = (height, width)
        scale = min(1.0, LONGEST / max(self._size))
        self._work = (max(16, round(height * scale)), max(16, round(width * scale)))
        self._template = resize(self.reference, self._work)
        box = Box(0, 0, *image_size)
        if boxed:
            box = Box.of(self._size, image_size)
        self._place = _scaling(self._work, box)

    def find(self, pixels: AnyArray, name: str) -> Float64Array:
        """Return where the reference's places lie in an image at ``image_size``.

        Args:
            pixels: The image as it came, as ``checked`` gives it.
            name: What errors call the image.

        Returns:
            (2, 3): of (x, y, 1) in pixels, the first one's centre at 0.

        Raises:
            ImageError: The image has another size than the reference.
            AlignmentError: It cannot be aligned.
        """
        if pixels.shape[:2] != self._size:
            (height, width), (h, w) = self._size, pixels.shape[:2]
            raise ImageError(
                f"{name} must have the size of the reference image of {self._owner}, "
                f"{height}x{width}; got {h}x{w}."
            )
        moved = _grey(resize(pixels, self._work))
        correlation, found = self._correlate(moved)
        if correlation < LEAST_CORRELATION:
            raise AlignmentError(
                f"{name} cannot be aligned to the reference image of {self._owner}: "
                f"their correlation is {correlation:.2f}, below {LEAST_CORRELATION}."
            )
        whole = self._place @ np.vstack([found, [0, 0, 1]]) @ np.linalg.inv(self._place)
        return np.asarray(whole[:2])

    def _correlate(self, moved: Float32Array) -> tuple[float, Float64Array]:
        """Return the highest correlation and how the image then lies."""
        cv = _opencv()
        height, width = (max(8, side // COARSE) for side in self._work)
        small = (height, width)
        template, shown = (resize(one, small) for one in (self._template, moved))
        # Copies: OpenCV multiplies its arguments with the window.
        window = cv.createHanningWindow(small[::-1], cv.CV_32F)
        shift, _ = cv.phaseCorrelate(template.copy(), shown.copy(), window)
        best = -1.0, np.eye(2, 3)
        for guess in ((0.0, 0.0), shift):
            start = np.eye(2, 3)
            start[:, 2] = guess
            best = max(
                best, self._refined(template, shown, start), key=lambda one: one[0]
            )
        start = best[1].copy()
        start[:, 2] *= np.array(self._work[::-1]) / small[::-1]
        return self._refined(self._template, moved, start)

    @staticmethod
    def _refined(
        template: Float32Array, moved: Float32Array, start: Float64Array
    ) -> tuple[float, Float64Array]:
        cv = _opencv()
        stop = (cv.TERM_CRITERIA_EPS | cv.TERM_CRITERIA_COUNT, STEPS, CHANGE)
        try:
            correlation, found = cv.findTransformECC(
                template,
                moved,
                start.astype(np.float32),
                cv.MOTION_EUCLIDEAN,
                stop,
                None,
                FILTER,
            )
        except cv.error:  # it does not converge
            return -1.0, start
        return float(correlation), found.astype(np.float64)


def aligned(pixels: Float32Array, place: Float64Array) -> Float32Array:
    """Return an image at ``image_size`` as the reference has it.

    ``place`` is what ``Alignment.find`` gave. Beyond its edges lie its outermost
    pixels.
    """
    cv = _opencv()
    flags, border = cv.INTER_LINEAR | cv.WARP_INVERSE_MAP, cv.BORDER_REPLICATE
    size = pixels.shape[1::-1]
    moved = cv.warpAffine(pixels, place, size, flags=flags, borderMode=border)
    return np.asarray(moved)


def put_back_numbers(numbers: Int32Array, place: Float64Array) -> Int32Array:
    """Return whole numbers of an aligned image as they lie over the image.

    Each place has the nearest number, beyond the reference's edge, too.
    """
    cv = _opencv()
    flags, border = cv.INTER_NEAREST, cv.BORDER_REPLICATE
    size = numbers.shape[::-1]
    plane = numbers.astype(np.float32)  # whole up to 2^24
    moved = cv.warpAffine(plane, place, size, flags=flags, borderMode=border)
    return np.asarray(moved).astype(np.int32)


def put_back(plane: Float32Array, place: Float64Array) -> Float32Array:
    """Return a map of an aligned image as it lies over the image; 0 beyond its edge."""
    cv = _opencv()
    flags, border = cv.INTER_LINEAR, cv.BORDER_CONSTANT
    size = plane.shape[::-1]
    moved = cv.warpAffine(plane, place, size, flags=flags, borderMode=border)
    return np.asarray(moved)


def _grey(pixels: Float32Array) -> Float32Array:
    if pixels.ndim == GREY:
        return pixels
    return np.asarray(pixels.mean(axis=2, dtype=np.float32))


def _scaling(size: tuple[int, int], box: Box) -> Float64Array:
    """Return the matrix from pixels at ``size`` to pixels of a box."""
    across, down = box.width / size[1], box.height / size[0]
    return np.array(
        [
            [across, 0.0, across / 2 - 0.5 + box.left],
            [0.0, down, down / 2 - 0.5 + box.top],
            [0.0, 0.0, 1.0],
        ]
    )


def _opencv() -> Any:
    try:
        import cv2  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError(
            f"align needs OpenCV, which cannot be imported ({error}). Run: "
            "pip install 'adlib-vision[align]'"
        ) from error
    return cv2
