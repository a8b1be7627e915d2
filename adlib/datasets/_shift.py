"""The study's domain shift: pose, camera and light.

Images are (1 or 3, height, width) float32 in [0, 1], masks (1, height, width) uint8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from numpy.random import Generator
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from adlib._typing import Float32Array, Float64Array
from adlib._validation import check_int
from adlib.datasets._shift_settings import (
    GEOMETRIC,
    LIMITS,
    PARTS,
    Part,
    Range,
    ShiftSettings,
)

if TYPE_CHECKING:
    from adlib.datasets._albumentations import AlbumentationsShift

Light: TypeAlias = Literal["left", "right", "top", "bottom", "radial"]
LIGHTS: tuple[Light, ...] = get_args(Light)
# Gradients are smoothed with a standard deviation of 80 pixels of an image of 1024x1024
# (MVTec AD's size), here of a field of 128x128 that is then resized to the image.
FIELD_SIDE, FIELD_SIGMA = 128, 80 * 128 / 1024


class LightGradient(NamedTuple):
    """A gradient of light; see ``light_field``."""

    kind: Light
    strength: float
    centre: tuple[float, float]


@dataclass(frozen=True)
class Shift:
    """The shift of one image, drawn; a function of an image and its mask."""

    rotation: float = 0.0  # degrees, counter-clockwise
    zoom: float = 1.0  # factor of lengths, 1 or more: a crop, resized to the whole
    offset: tuple[float, float] = (0.0, 0.0)  # (down, right) in shares of the sides
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors; see jitter_colours
    gradient: LightGradient | None = None
    blur: int = 1  # side of the kernel in pixels, odd; 1 does not blur
    noise: float = 0.0  # standard deviation, of a range of 1
    noise_seed: tuple[int, ...] = ()

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shift an image and its mask; shapes and dtypes are those of ``at``."""
        image, mask = self.move(image), self.move(mask, nearest=True)
        if self.colour != (1.0, 1.0, 1.0):
            image = jitter_colours(image, *self.colour)
        if self.gradient is not None:
            image = image * light_on(image.shape[1:], light_field(*self.gradient))
        image = blur(image, self.blur)  # the lens comes behind the light,
        if self.noise:  # and the sensor behind the lens
            image = add_noise(image, self.noise, self.noise_seed)
        return image.clamp(0, 1), mask

    def move(self, image: torch.Tensor, *, nearest: bool = False) -> torch.Tensor:
        """Move an image by the geometric parts alone; it is mirrored outside.

        ``nearest`` takes the nearest pixel, as masks need it, instead of four.
        """
        if (self.rotation, self.zoom, *self.offset) == (0.0, 1.0, 0.0, 0.0):
            return image
        height, width = image.shape[1:]
        x = torch.arange(width, dtype=torch.float64, device="cpu") + 0.5
        y = (torch.arange(height, dtype=torch.float64, device="cpu") + 0.5)[:, None]
        (a, b, c), (d, e, f) = self.matrix((height, width)).tolist()
        across = (a * x + b * y + c) * (2 / width) - 1
        down = (d * x + e * y + f) * (2 / height) - 1
        moved = F.grid_sample(
            image[None].float(),
            torch.stack([across, down], dim=-1)[None].float(),
            mode="nearest" if nearest else "bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        return moved[0].to(image.dtype)

    def matrix(self, size: tuple[int, int]) -> Float64Array:
        """Return the (2, 3) matrix of an image's size: source (x, y) = M @ (x, y, 1).

        Points are pixels' corners: the centre of the first pixel is (0.5, 0.5).
        """
        height, width = size
        angle = math.radians(self.rotation)
        # Undo the offset, then the zoom, then turn back (y points down).
        turn = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        linear = turn / self.zoom
        centre = np.array([width / 2, height / 2])
        down, right = self.offset
        moved = centre + np.array([right * width, down * height])
        return np.column_stack([linear, centre - linear @ moved])


class ShiftDomainTransform:
    """Draws the shift of each image from its number.

    The seed of image i is ``random_state + i``. Every part has a generator of its own:
    switching one off, or scaling it, does not change what the others draw.

    Args:
        settings: What to draw from; None: the study's.
        random_state: Base seed, at least 0; the study's is 42.

    Raises:
        TypeError: ``random_state`` is no integer.
        ValueError: ``random_state`` is below 0.

    Example:
        >>> import torch
        >>> from adlib.datasets import ShiftDomainTransform
        >>> image, mask = torch.rand(3, 64, 64), torch.zeros(1, 64, 64)
        >>> shift = ShiftDomainTransform(random_state=42).at(7)
        >>> image, mask = shift(image, mask.to(torch.uint8))
        >>> image.shape
        torch.Size([3, 64, 64])
    """

    def __init__(
        self, settings: ShiftSettings | None = None, *, random_state: int = 42
    ) -> None:
        self.settings = settings or ShiftSettings()
        owner = type(self).__name__
        self.random_state = check_int(random_state, "random_state", owner, low=0)

    def at(self, index: int, *, attempt: int = 0) -> Shift | AlbumentationsShift:
        """Draw the shift of one image.

        Args:
            index: The image's number, at least 0.
            attempt: Each number, from 0, draws another pose and leaves the rest.

        Returns:
            The shift, a function (image, mask) -> (image, mask) of tensors, (1 or 3,
            height, width) float32 in [0, 1] and (1, height, width) uint8.

        Raises:
            TypeError: A number is no integer.
            ValueError: A number is below 0.
            ImportError: The settings' backend is not installed.
        """
        check_int(index, "index", "at", low=0)
        check_int(attempt, "attempt", "at", low=0)
        seed = self.random_state + index
        if self.settings.backend == "albumentations":
            from adlib.datasets._albumentations import AlbumentationsShift  # noqa: PLC0415 - optional

            return AlbumentationsShift(self.settings, seed, attempt)
        rngs = {
            part: np.random.default_rng(
                [seed, number, attempt if part in GEOMETRIC else 0]
            )
            for number, part in enumerate(PARTS)
        }

        def draw(part: Part) -> float:
            share = rngs[part].random()
            values: Range | None = getattr(self.settings, part)
            if values is None:
                return LIMITS[part][2]
            return values[0] + share * (values[1] - values[0])

        zoom = draw("crop") ** -0.5
        # Anywhere that a window of 1 / zoom of the sides fits into the image.
        windows = [(rngs["crop"].random() - 0.5) * (zoom - 1) for _ in range(2)]
        return Shift(
            rotation=draw("rotation"),
            zoom=zoom,
            offset=(windows[0] + draw("translation"), windows[1] + draw("translation")),
            colour=(draw("colour"), draw("colour"), draw("colour")),
            gradient=_gradient(self.settings, rngs["illumination"]),
            blur=_odd(self.settings.blur, rngs["blur"]),
            noise=draw("noise"),
            noise_seed=(seed, len(PARTS)),
        )


def get_shift_transforms(
    settings: ShiftSettings | None = None, *, random_state: int = 42
) -> ShiftDomainTransform:
    """Return ``ShiftDomainTransform(settings, random_state=random_state)``.

    Args:
        settings: What to draw from; None: the study's.
        random_state: Base seed, at least 0; the study's is 42.

    Returns:
        The transform.

    Raises:
        TypeError, ValueError: As ``ShiftDomainTransform``.

    Example:
        >>> from adlib.datasets import get_shift_transforms
        >>> get_shift_transforms(random_state=42).at(0).blur
        3
    """
    return ShiftDomainTransform(settings, random_state=random_state)


def _gradient(settings: ShiftSettings, rng: Generator) -> LightGradient | None:
    """Return the gradient of light of those images that get one."""
    lit, kind, strength, y, x = rng.random(5).tolist()
    if settings.illumination is None or lit >= settings.illumination_ratio:
        return None
    low, high = settings.illumination
    chosen = LIGHTS[int(kind * len(LIGHTS))]
    return LightGradient(chosen, low + strength * (high - low), (y, x))


def _odd(values: Range | None, rng: Generator) -> int:
    """Return an odd number of a range; where it holds none, the one below it."""
    share = rng.random()
    if values is None:
        return 1
    last = math.floor((values[1] - 1) / 2)
    first = min(math.ceil((values[0] - 1) / 2), last)
    return 2 * (first + int(share * (last - first + 1))) + 1


def jitter_colours(
    image: torch.Tensor, brightness: float, contrast: float, saturation: float
) -> torch.Tensor:
    """Return an image with brightness, contrast and saturation times a factor each."""
    image = vision.adjust_brightness(image, brightness)
    image = vision.adjust_contrast(image, contrast)
    if len(image) > 1:  # grey has none
        image = vision.adjust_saturation(image, saturation)
    return image


def light_field(
    kind: Light, strength: float, centre: tuple[float, float]
) -> Float32Array:
    """Return a gradient of light, (128, 128) float32 in (0, 1], for any image's size.

    It falls linearly from the side ``kind``, or from ``centre``, (y, x) in shares of
    the sides, to the farthest corner. ``strength`` is the share of the light that is
    missing where it is darkest, before the field is smoothed.
    """
    points = (np.arange(FIELD_SIDE) + 0.5) / FIELD_SIDE
    y, x = points[:, None], points[None]
    if kind == "radial":
        far = max(
            math.dist(centre, corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))
        )
        dark = np.hypot(y - centre[0], x - centre[1]) / far
    else:
        ramps = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
        dark = np.broadcast_to(ramps[kind], (FIELD_SIDE, FIELD_SIDE))
    field = gaussian_filter(1 - strength * dark, FIELD_SIGMA, mode="nearest")
    return np.asarray(field, dtype=np.float32)


def light_on(size: Sequence[int], field: Float32Array) -> torch.Tensor:
    """Return a gradient of ``light_field`` for an image, (1, height, width)."""
    planes = torch.from_numpy(field)[None, None]
    return F.interpolate(planes, tuple(size), mode="bilinear")[0]


def blur_sigma(kernel: float) -> float:
    """Return the standard deviation that OpenCV takes for a side of a kernel."""
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def blur(image: torch.Tensor, kernel: int) -> torch.Tensor:
    """Return an image blurred by a Gaussian kernel of an odd side in pixels.

    Its standard deviation follows from the side as in OpenCV: 0.8 for 3, 1.1 for 5.
    """
    if kernel == 1:
        return image
    sigma = blur_sigma(kernel)
    kernel = min(kernel, *(2 * side - 1 for side in image.shape[1:]))  # it is mirrored
    blurred: torch.Tensor = vision.gaussian_blur(image, [kernel] * 2, [sigma] * 2)
    return blurred


def add_noise(image: torch.Tensor, sigma: float, seed: tuple[int, ...]) -> torch.Tensor:
    """Return an image with Gaussian noise of a standard deviation."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return image + sigma * torch.from_numpy(noise)
