"""The demo set's pictures: photographs of three textures, and five kinds of defects.

A defect is a layer over an image: how opaque it is at each pixel, and what is seen
where it is. Pixels where it is hardly opaque stay as they are, bit for bit; all others
are the mask. What covers the surface has a sensor's noise too; what tints it lets the
surface's noise through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from adlib._typing import BoolArray, Float64Array, UInt8Array

SEED = 42
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
CLASSES = tuple(COLOURS)
VISIBLE = 0.1  # below this opacity a layer leaves the pixel alone
LARGENESS = (0.65, 1.1, 1.8)  # small, medium, large, in turn
# Busy surfaces hide what is small, from people too.
CLASS_LARGENESS = {"brick": 1.0, "grass": 1.6, "gravel": 1.6}
# A defect's opacity, (SIZE, SIZE) in [0, 1], and what is seen there, (SIZE, SIZE, 3).
Layer: TypeAlias = tuple[Float64Array, Float64Array]


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
    """Return a photograph of a surface, (SIZE, SIZE, 3), as a camera might take it.

    Brightness, contrast, white balance, slow illumination, focus and noise vary.
    """
    focused = ndimage.gaussian_filter(grey, rng.uniform(0.0, 0.7))
    mean = focused.mean()
    levels = mean + (focused - mean) * rng.uniform(0.9, 1.1)
    known, *channels = zip(*COLOURS[name], strict=True)
    image = np.stack([np.interp(levels, known, c) for c in channels], axis=-1)
    image *= rng.uniform(0.92, 1.08) * rng.uniform(0.98, 1.02, 3)
    image *= _illumination(rng)[..., np.newaxis]
    return quantised(image + grain(rng))


def _illumination(rng: Generator) -> Float64Array:
    """Return slow changes of light around 1, (SIZE, SIZE)."""
    line = np.linspace(-1.0, 1.0, SIZE)
    slope_y, slope_x = rng.uniform(-0.06, 0.06, 2)
    bend = rng.uniform(-0.05, 0.02)  # lenses darken corners
    down, right = (slope * line + bend * line**2 for slope in (slope_y, slope_x))
    return np.asarray(1.0 + np.add.outer(down, right))


def grain(rng: Generator) -> Float64Array:
    """Return a sensor's noise in grey levels, (SIZE, SIZE, 1), alike in colours."""
    return rng.normal(0.0, rng.uniform(0.8, 1.6), (SIZE, SIZE, 1))


def quantised(image: Float64Array) -> UInt8Array:
    """Return an image in whole levels from 0 to 255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class Flawed(NamedTuple):
    """A normal image, and a copy with a defect, which differs only inside ``mask``."""

    clean: UInt8Array
    image: UInt8Array
    mask: BoolArray


def normal_image(texture: Texture, part: str, index: int) -> UInt8Array:
    """Return a normal image to train or to test with, (SIZE, SIZE, 3)."""
    rng = _generator(texture.name, part, index)
    grey = cut(texture.train if part == "train" else texture.test, rng)
    return develop(grey, texture.name, rng)


def flawed_image(
    textures: dict[str, Texture], name: str, kind: str, index: int
) -> Flawed:
    """Return a test image with a defect; sizes go round with ``index``."""
    rng = _generator(name, kind, index)
    clean = develop(cut(textures[name].test, rng), name, rng)
    # Two patches are of each other class, in the colours of this one, and two of the
    # class itself, rotated and closer; none of these is small, or nobody could see it.
    place = CLASSES.index(name)
    origin = textures[CLASSES[(place + 1 + index // 2) % len(CLASSES)]].test
    turned = {"turn": rng.uniform(40.0, 140.0), "side": rng.uniform(90.0, 120.0)}
    shown = clean
    if kind == "patch":
        shown = develop(cut(origin, rng, **turned), name, rng)
    size = CLASS_LARGENESS[name] * LARGENESS[index % len(LARGENESS)]
    size *= rng.uniform(0.85, 1.15)
    matte, look = DEFECTS[kind](rng, shown.astype(np.float64), size)
    mask = matte >= VISIBLE
    opacity = np.where(mask, matte, 0.0)[..., np.newaxis]
    below = clean.astype(np.float64)
    return Flawed(clean, quantised(below + opacity * (look - below)), mask)


def _generator(name: str, part: str, index: int) -> Generator:
    """Return one image's own source of chance, whatever else is drawn."""
    parts = ("train", "test", *DEFECTS)
    return np.random.default_rng([SEED, CLASSES.index(name), parts.index(part), index])


def _crack(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a dark jagged line that thins out at its ends, at times with a branch."""
    length = round(70 * size)
    angle = rng.uniform(0.0, 2 * math.pi)
    path = _walk(angle, length, rng)
    path += _inside(rng, length / 4) - path[length // 2]
    width = rng.uniform(0.9, 1.4) * size
    matte = _stroke(path, width * _tapered(length, rng))
    if size > 1 or rng.random() < 0.4:  # noqa: PLR2004 - some small ones branch too
        start = int(rng.integers(length // 4, 3 * length // 4))
        fork = angle + rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        branch = path[start] + _walk(fork, length // 2, rng)
        thinner = 0.7 * width * _tapered(length // 2, rng)
        matte = np.maximum(matte, _stroke(branch, thinner))
    return matte, below * rng.uniform(0.15, 0.5)


def _hole(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a rounded dark hollow, lit on the side that faces the light."""
    radius = 9 * size
    centre = _inside(rng, radius)
    matte, slope = _blob(centre, radius, rng, roughness=0.12, softness=1.5)
    depth = rng.uniform(0.25, 0.6)
    tone = ndimage.gaussian_filter(below, (2.0, 2.0, 0.0)).mean(axis=(0, 1))
    shade = (depth + 0.25 * np.clip(slope, -1.0, 1.0))[..., np.newaxis]
    # Some of the surface's own relief goes on inside.
    look = shade * (0.6 * tone + 0.4 * below)
    return matte, look + grain(rng)


def _stain(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a discolouration with soft edges, through which the surface shows."""
    radius = 16 * size
    centre = _inside(rng, radius / 2)
    matte, _slope = _blob(centre, radius, rng, roughness=0.15, softness=8.0)
    mottle = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 4.0)
    strength = rng.uniform(0.3, 0.75)
    hue = np.array(STAINS[int(rng.integers(len(STAINS)))])
    filtered = below * (1.0 - strength * (1.0 - hue))
    cover = np.clip(0.85 + 1.5 * mottle, 0.5, 1.0)
    return matte * cover, filtered


def _patch(rng: Generator, other: Float64Array, size: float) -> Layer:
    """Lay a cut-out of another picture over the surface."""
    half = 14 * size * rng.uniform(0.7, 1.2, 2)
    centre = _inside(rng, float(half.max()) * 0.7)
    along, across = _turned(centre, rng.uniform(0.0, math.pi))
    # The distance outside of a rectangle with rounded corners.
    corner = 0.3 * float(half.min())
    past = np.maximum(np.abs([along, across]) - (half - corner)[:, None, None], 0.0)
    matte = _edge(corner - np.hypot(*past), 1.5)
    return matte, other


def _thread(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a thin smooth curve, white, black or blue, with its shadow beside it."""
    length = round(90 * size)
    bend = ndimage.gaussian_filter1d(rng.normal(size=length), length / 8)
    angle = rng.uniform(0.0, 2 * math.pi) + np.cumsum(bend) * 1.6 / length**0.5
    path = _points(angle)
    path += _inside(rng, length / 4) - path[length // 2]
    width = rng.uniform(0.7, 1.2) * size**0.6
    thread = _stroke(path, np.full(length, width))
    shadow = 0.4 * _stroke(path + SHADOW, np.full(length, width))
    tone = below.mean(axis=(0, 1))
    dye = np.array(THREADS[int(rng.integers(len(THREADS)))])
    colour = tone + rng.uniform(0.5, 1.0) * (dye - tone) + grain(rng)
    cover = thread[..., np.newaxis]
    return np.maximum(thread, shadow), cover * colour + (1 - cover) * below * 0.4


DEFECTS: dict[str, Callable[[Generator, Float64Array, float], Layer]] = {
    "crack": _crack,
    "hole": _hole,
    "patch": _patch,
    "stain": _stain,
    "thread": _thread,
}
# What is left of red, green and blue under oil, rust, water and bleach.
STAINS = ((0.25, 0.2, 0.15), (1.0, 0.55, 0.2), (0.5, 0.5, 0.5), (1.6, 1.6, 1.5))
SHADOW = np.array((1.2, 1.0))  # how far a thread's lies from it, in pixels
THREADS = ((238.0, 232.0, 218.0), (30.0, 28.0, 34.0), (70.0, 95.0, 165.0))


def _inside(rng: Generator, margin: float) -> Float64Array:
    """Return a random point (y, x), a margin away from the image's border."""
    low = min(margin, SIZE / 2 - 1) + 1
    return rng.uniform(low, SIZE - low, 2)


def _points(course: Float64Array) -> Float64Array:
    """Return points (y, x) a pixel apart, (length, 2), that follow angles."""
    steps = np.stack([np.sin(course), np.cos(course)], axis=-1)
    return np.cumsum(steps, axis=0)


def _walk(angle: float, length: int, rng: Generator) -> Float64Array:
    """Return points, (length, 2), that keep a course except for kinks."""
    kinks = np.repeat(rng.normal(0.0, 0.55, length // 4 + 1), 4)[:length]
    drift = np.cumsum(rng.normal(0.0, 0.06, length))
    return _points(angle + kinks + drift)


def _tapered(length: int, rng: Generator) -> Float64Array:
    """Return widths around 1 that wander and shrink towards both ends, (length,)."""
    wander = 1.0 + 1.5 * ndimage.gaussian_filter1d(rng.normal(size=length), 3.0)
    ends = np.sin(np.linspace(0.15, math.pi - 0.15, length)) ** 0.5
    return np.asarray(np.clip(wander, 0.4, 1.8) * ends)


def _stroke(path: Float64Array, half_widths: Float64Array) -> Float64Array:
    """Return the matte of a line with smooth edges.

    ``path`` is points about a pixel apart, (n_points, 2), with a half width each.
    """
    reach = math.ceil(float(half_widths.max()) + 1)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    pixels = np.rint(path).astype(np.int64)[:, np.newaxis] + offsets
    distance = np.linalg.norm(pixels - path[:, np.newaxis], axis=-1)
    cover = np.clip(half_widths[:, np.newaxis] + 0.5 - distance, 0.0, 1.0)
    inside = ((pixels >= 0) & (pixels < SIZE)).all(axis=-1)
    matte = np.zeros((SIZE, SIZE))
    np.maximum.at(matte, tuple(pixels[inside].T), cover[inside])
    return matte


def _blob(
    centre: Float64Array,
    radius: float,
    rng: Generator,
    *,
    roughness: float,
    softness: float,
) -> tuple[Float64Array, Float64Array]:
    """Return a rounded matte, and how far along the light each pixel lies in radii."""
    along, across = _turned(centre, rng.uniform(0.0, math.pi))
    across = across * rng.uniform(1.0, 1.6)  # longer than wide
    around = np.arctan2(across, along)
    outline = np.full(around.shape, radius)
    for lobes in range(2, 8):
        size = radius * rng.normal(0.0, roughness) / lobes
        outline += size * np.cos(lobes * around + rng.uniform(0.0, 2 * math.pi))
    matte = _edge(outline - np.hypot(along, across), softness)
    down, right = _turned(centre, 0.0)
    return matte, (0.8 * down + 0.6 * right) / radius


def _turned(centre: Float64Array, angle: float) -> tuple[Float64Array, Float64Array]:
    """Return two coordinates of each pixel from a centre, on rotated axes."""
    y = np.arange(SIZE)[:, np.newaxis] - centre[0]
    x = np.arange(SIZE)[np.newaxis] - centre[1]
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * y + sin * x, cos * x - sin * y


def _edge(depth: Float64Array, softness: float) -> Float64Array:
    """Return opacities that rise from 0 to 1 over ``softness`` pixels of depth."""
    share = np.clip(depth / softness + 0.5, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
