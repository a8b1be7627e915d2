"""The study's domain shift: pose, camera and light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from adlib._typing import Float64Array
from adlib._validation import check_int
from adlib.datasets._shift_pixels import (
    LIGHTS,
    Light,
    add_noise,
    affine_matrix,
    blur,
    jitter_colours,
    light,
    light_field,
    warp,
)
from adlib.datasets._shift_settings import (
    GEOMETRIC,
    LIMITS,
    PARTS,
    Part,
    Range,
    ShiftSettings,
)


class LightGradient(NamedTuple):
    """A gradient of light; see ``light_field``."""

    kind: Light
    strength: float
    centre: tuple[float, float]


@dataclass(frozen=True)
class Shift:
    """The shift of one image, drawn; a function of an image and its mask.

    Attributes:
        rotation: Degrees, counter-clockwise.
        zoom: Factor of lengths, 1 or more: a crop, resized to the whole.
        offset: (down, right) in shares of the sides, by crop and translation.
        colour: Factors of brightness, contrast and saturation.
        gradient: The gradient of light, or None.
        blur: Side of the kernel in pixels, odd; 1 does not blur.
        noise: Standard deviation, of a range of 1.
        noise_seed: What the noise is drawn with.
    """

    rotation: float
    zoom: float
    offset: tuple[float, float]
    colour: tuple[float, float, float]
    gradient: LightGradient | None
    blur: int
    noise: float
    noise_seed: tuple[int, ...]

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shift an image and its mask; shapes and dtypes are those of ``at``."""
        image, mask = self.move(image), self.move(mask, nearest=True)
        if self.colour != (1.0, 1.0, 1.0):
            image = jitter_colours(image, *self.colour)
        if self.gradient is not None:
            image = light(image, light_field(*self.gradient))
        image = blur(image, self.blur)  # the lens comes behind the light,
        if self.noise:  # and the sensor behind the lens
            rng = np.random.default_rng(self.noise_seed)
            image = add_noise(image, self.noise, rng)
        return image.clamp(0, 1), mask

    def move(self, image: torch.Tensor, *, nearest: bool = False) -> torch.Tensor:
        """Move an image, or a mask with ``nearest``, by the geometric parts alone."""
        height, width = image.shape[1:]
        if (self.rotation, self.zoom, *self.offset) == (0.0, 1.0, 0.0, 0.0):
            return image
        return warp(image, self.matrix((height, width)), nearest=nearest)

    def matrix(self, size: tuple[int, int]) -> Float64Array:
        """Return the matrix of ``affine_matrix`` for an image of a size in pixels."""
        down, right = self.offset
        offset = (down * size[0], right * size[1])
        return affine_matrix(size, self.rotation, self.zoom, offset)


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

    def at(self, index: int, *, attempt: int = 0) -> Shift:
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
        """
        check_int(index, "index", "at", low=0)
        check_int(attempt, "attempt", "at", low=0)
        seed = self.random_state + index
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


def _gradient(
    settings: ShiftSettings, rng: np.random.Generator
) -> LightGradient | None:
    """Return the gradient of light of those images that get one."""
    lit, kind, strength, y, x = rng.random(5).tolist()
    if settings.illumination is None or lit >= settings.illumination_ratio:
        return None
    low, high = settings.illumination
    chosen = LIGHTS[int(kind * len(LIGHTS))]
    return LightGradient(chosen, low + strength * (high - low), (y, x))


def _odd(values: Range | None, rng: np.random.Generator) -> int:
    """Return an odd number of a range; where it holds none, the one below it."""
    share = rng.random()
    if values is None:
        return 1
    last = math.floor((values[1] - 1) / 2)
    first = min(math.ceil((values[0] - 1) / 2), last)
    return 2 * (first + int(share * (last - first + 1))) + 1
