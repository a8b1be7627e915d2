"""Photographs of three textures, cut and developed into normal RGB images."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from adlib._typing import Float64Array, UInt8Array

SIZE = 192  # height and width of an image; the photographs hold no more detail
# Train and test see different columns of a photograph; those between are not used.
TRAINING_COLUMNS = slice(0, 304)
TEST_COLUMNS = slice(320, 512)
# Turned by at most 3 degrees, 170 pixels stay inside the 192 columns of the test part.
SIDES = (150.0, 170.0)  # pixels of the photograph along an image's side
TURN = 3.0  # degrees
SPLINE_ORDER = 3
# The photographs are grey. Each class gets colours by grey level, (level, RGB), so
# that bricks are redder than their mortar and blades of grass yellower than the soil.
COLOURS = {
    "brick": ((0, 20, 14, 12), (95, 134, 84, 68), (165, 176, 163, 150), (255,) * 4),
    "grass": ((0, 14, 16, 8), (95, 82, 100, 52), (165, 158, 172, 104), (255,) * 4),
    "gravel": ((0, 12, 14, 18), (95, 88, 92, 98), (165, 170, 166, 158), (255,) * 4),
}


class Texture(NamedTuple):
    """Spline coefficients of a photograph in two parts that share no pixel."""

    name: str
    train: Float64Array
    test: Float64Array


def load_textures() -> dict[str, Texture]:
    """Return the textures by class, from scikit-image's own files."""
    try:
        from skimage import data  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError(
            "The demo set needs the package scikit-image. "
            'Run: pip install "adlib-vision[study]"'
        ) from error
    textures = {}
    for name in COLOURS:  # they lie in the wheel, so that nothing is fetched
        photograph = np.asarray(getattr(data, name)(), dtype=np.float64)
        # A spline's coefficients depend on all pixels: each part is filtered alone.
        train, test = (
            np.asarray(ndimage.spline_filter(part, SPLINE_ORDER, mode="mirror"))
            for part in (photograph[:, TRAINING_COLUMNS], photograph[:, TEST_COLUMNS])
        )
        textures[name] = Texture(name, train, test)
    return textures


def cut(
    part: Float64Array,
    rng: Generator,
    *,
    turn: float | None = None,
    side: float | None = None,
) -> Float64Array:
    """Return a random square of a part, resampled: grey levels, (SIZE, SIZE).

    It lies wholly inside, and is mirrored left to right at random: bricks in
    perspective and stones under the sky have a top and a bottom. ``turn`` is in
    degrees, ``side`` in pixels of the part; None: at random.
    """
    degrees = rng.uniform(-TURN, TURN) if turn is None else turn
    length = rng.uniform(*SIDES) if side is None else side
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    reach = length / 2 * (abs(cos) + abs(sin))
    centre = [rng.uniform(reach, extent - 1 - reach) for extent in part.shape]
    step = length / SIZE
    matrix = step * np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, (SIZE - 1) / 2)
    grey = ndimage.affine_transform(
        part,
        matrix,
        offset=centre - matrix @ middle,
        output_shape=(SIZE, SIZE),
        order=SPLINE_ORDER,
        prefilter=False,
    )
    return np.asarray(grey[:, ::-1] if rng.random() < 0.5 else grey)  # noqa: PLR2004


def develop(grey: Float64Array, name: str, rng: Generator) -> UInt8Array:
    """Return a photograph of a surface, (height, width, 3), as a camera might take it.

    Brightness, contrast, white balance, slow illumination, focus and noise vary.
    """
    focused = ndimage.gaussian_filter(grey, rng.uniform(0.0, 0.7))
    mean = focused.mean()
    levels = mean + (focused - mean) * rng.uniform(0.9, 1.1)
    known, *channels = zip(*COLOURS[name], strict=True)
    image = np.stack([np.interp(levels, known, c) for c in channels], axis=-1)
    image *= rng.uniform(0.92, 1.08) * rng.uniform(0.98, 1.02, 3)
    image *= _illumination(grey.shape, rng)[..., np.newaxis]
    return quantised(image + grain(grey.shape, rng))


def _illumination(shape: tuple[int, ...], rng: Generator) -> Float64Array:
    """Return slow changes of light around 1, (height, width)."""
    y, x = (np.linspace(-1.0, 1.0, extent) for extent in shape)
    slope_y, slope_x = rng.uniform(-0.06, 0.06, 2)
    bend = rng.uniform(-0.05, 0.02)  # lenses darken corners
    return np.asarray(
        1.0 + np.add.outer(slope_y * y + bend * y**2, slope_x * x + bend * x**2)
    )


def grain(shape: tuple[int, ...], rng: Generator) -> Float64Array:
    """Return a sensor's noise in grey levels, (height, width, 1), alike in colours."""
    return rng.normal(0.0, rng.uniform(0.8, 1.6), (*shape[:2], 1))


def quantised(image: Float64Array) -> UInt8Array:
    """Return an image in whole levels from 0 to 255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
