"""The study's shift as an albumentations pipeline."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from adlib._typing import AnyArray
from adlib.datasets._shift import LIGHTS, blur_sigma, light_field, light_on
from adlib.datasets._shift_settings import ShiftSettings
from adlib.datasets._torch_dataset import applied

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the internet
try:
    import albumentations
except ModuleNotFoundError as error:
    raise ImportError(
        "This needs albumentations: pip install 'adlib-vision[albumentations]'."
    ) from error

BORDER_REFLECT = 2  # OpenCV's number; as "reflection" of torch's grid_sample
NEAREST_EXACT = 6  # OpenCV's number; its other nearest is up to a pixel off
ALWAYS = {"p": 1.0}


class LightGradient(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """The study's gradient of light: ``light_field`` of a kind drawn for each image.

    ``albumentations.Illumination`` takes away a fifth of the light at most.

    Args:
        strength: Range of the share of the light that is missing where it is darkest.
        p: Share of the images that get one.
    """

    def __init__(self, strength: tuple[float, float], p: float = 0.5) -> None:
        super().__init__(p=p)
        self.strength = strength

    def apply(self, img: AnyArray, **drawn: Any) -> AnyArray:
        """Return a (height, width, channels) float32 image under the gradient."""
        light = light_on(img.shape[:2], drawn["field"])[0].numpy()
        return np.asarray(img * light[..., None], dtype=np.float32)

    def get_params(self) -> dict[str, Any]:
        """Draw kind, strength and centre."""
        kind = self.py_random.choice(LIGHTS)
        strength = self.py_random.uniform(*self.strength)
        centre = (self.py_random.random(), self.py_random.random())
        return {"field": light_field(kind, strength, centre)}


def geometric(settings: ShiftSettings, size: tuple[int, int]) -> list[Any]:
    """Return the parts that move an image of (height, width) and its mask."""
    found: list[Any] = []
    if settings.rotation is not None or settings.translation is not None:
        low, high = settings.translation or (0.0, 0.0)
        share = {"x": (low, high), "y": (low, high)}
        found.append(
            albumentations.Affine(
                rotate=settings.rotation or (0.0, 0.0),
                translate_percent=share,
                border_mode=BORDER_REFLECT,
                **ALWAYS,
            )
        )
    if settings.crop is not None:
        ratio = size[1] / size[0]
        found.append(
            albumentations.RandomResizedCrop(
                size,
                scale=settings.crop,
                ratio=(ratio, ratio),
                mask_interpolation=NEAREST_EXACT,
                **ALWAYS,
            )
        )
    return found


def photometric(settings: ShiftSettings) -> list[Any]:
    """Return the parts that change the image alone, in the order of light to sensor."""
    found: list[Any] = []
    if settings.colour is not None:
        colour = settings.colour
        found.append(
            albumentations.ColorJitter(colour, colour, colour, (0.0, 0.0), **ALWAYS)
        )
    if settings.illumination is not None:
        found.append(
            LightGradient(settings.illumination, p=settings.illumination_ratio)
        )
    if settings.blur is not None:
        low, high = (int(side) for side in settings.blur)
        sigmas = blur_sigma(low), blur_sigma(high)
        found.append(albumentations.GaussianBlur((low, high), sigmas, **ALWAYS))
    if settings.noise is not None:
        found.append(albumentations.GaussNoise(settings.noise, **ALWAYS))
    return found


class AlbumentationsShift:
    """The shift of one image: a function of an image and its mask, as ``Shift``.

    Args:
        settings: What to draw from.
        seed: Of the image; the same one draws the same.
        attempt: Each draws another pose and leaves the rest.
    """

    def __init__(self, settings: ShiftSettings, seed: int, attempt: int) -> None:
        self._settings, self._seed = settings, seed
        words = np.random.SeedSequence([seed, attempt]).generate_state(1)
        self._pose_seed = int(words[0])

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shift an image and its mask; shapes and dtypes stay."""
        light = albumentations.Compose(photometric(self._settings), seed=self._seed)
        image, mask = applied(self._pose(mask.shape[1:]), image, mask)
        image, mask = applied(light, image, mask)
        return image.clamp(0, 1), mask

    def move(self, mask: torch.Tensor, *, nearest: bool = True) -> torch.Tensor:
        """Return a mask after the geometric parts alone."""
        del nearest  # as albumentations always does with masks
        return applied(self._pose(mask.shape[1:]), mask.float(), mask)[1]

    def _pose(self, size: Any) -> Any:
        parts = geometric(self._settings, (int(size[0]), int(size[1])))
        return albumentations.Compose(parts, seed=self._pose_seed)
