"""The large demo set's pictures: metal plates, and small defects on them.

A plate lies the same way in each image, or is turned by any angle. Its brushing and its
turning marks are drawn anew for each plate, and turn with it; the light does not. The
defects are those of the small set, drawn in a window around a place on the plate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from adlib._typing import BoolArray, Float32Array, Float64Array, UInt8Array
from adlib.datasets._demo_pictures import (
    DEFECTS,
    SEED,
    SIZE,
    VISIBLE,
    Flawed,
    quantised,
)

CLASSES = ("aligned", "turned")
SIZES = tuple(float(size) for size in np.geomspace(6.0, 60.0, 6).round())  # of defects
MARGIN = 36.0  # pixels from a defect's centre to the plate's border
# As shares of half the image: half sides, corners, and round holes (y, x, radius). One
# hole is larger than its mirror images, so that one can see how a plate lies.
HALF_SIDES, CORNER = (0.44, 0.72), 0.1
HOLES = (
    (-0.3, -0.58, 0.06),
    (-0.3, 0.58, 0.06),
    (0.3, -0.58, 0.06),
    (0.3, 0.58, 0.09),
    (0.0, 0.0, 0.2),
)
RING = 0.33  # radius of the turned face around the bore
BELT, METAL = 42.0, 148.0  # grey levels
TRIES = 8  # how large a kind comes out is seen once it is drawn
LIGHT = math.radians(-125.0)  # where it comes from


class Plate(NamedTuple):
    """An image of a plate, (size, size), and each pixel's distance to its border."""

    image: UInt8Array
    depth: Float32Array  # pixels, positive on the plate


def plate(size: int, name: str, rng: Generator) -> Plate:
    """Return a plate as a camera might take it: pose, light, brushing and noise vary.

    ``name`` is "aligned" (within 2 pixels) or "turned" (by any angle, and shifted).
    """
    reach = 2.0 if name == "aligned" else 0.03 * size
    angle = 0.0 if name == "aligned" else rng.uniform(0.0, 2 * math.pi)
    centre = (size - 1) / 2 + rng.uniform(-reach, reach, 2)
    cos, sin = math.cos(angle), math.sin(angle)
    y, x = (np.arange(size, dtype=np.float32) - np.float32(one) for one in centre)
    along_y = np.add.outer(np.float32(cos) * y, np.float32(sin) * x)
    along_x = np.add.outer(np.float32(-sin) * y, np.float32(cos) * x)
    depth = _depth(along_y, along_x, size / 2)
    # Brushed along x in the plate's own frame, and turned as the plate is.
    brushed = _streaks(size, rng)
    matrix = np.array([[cos, sin], [-sin, cos]])
    offset = np.full(2, (size - 1) / 2) - matrix @ centre
    metal = METAL + 7.0 * ndimage.affine_transform(
        brushed, matrix, offset=offset, order=1, mode="mirror"
    )
    radius = np.hypot(along_y, along_x)
    marks = ndimage.gaussian_filter1d(rng.standard_normal(size), 1.0)
    marks = np.interp(radius, np.arange(size), marks).astype(np.float32)
    ring = np.clip(RING * size / 2 - radius, 0.0, 1.0)
    metal += ring * (METAL + 10.0 + 9.0 * marks - metal)
    # Edges are rounded: bright towards the light, dark away from it.
    slope_y, slope_x = np.gradient(depth)
    facing = -(math.sin(LIGHT) * slope_y + math.cos(LIGHT) * slope_x)
    metal += 55.0 * facing * np.exp(-np.abs(depth - 2.0) / np.float32(2.0 + size / 700))
    image = BELT + np.clip(depth + 0.5, 0.0, 1.0) * (metal - BELT)
    image *= rng.uniform(0.94, 1.06)
    line = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    slopes = rng.uniform(-0.04, 0.04, 2)
    image *= 1.0 + np.add.outer(*(np.float32(slope) * line for slope in slopes))
    image += rng.uniform(1.0, 1.4) * rng.standard_normal((size, size), np.float32)
    return Plate(quantised(image), depth)


def flawed_plate(size: int, name: str, kind: str, index: int) -> Flawed:
    """Return a plate with a defect of about ``SIZES[index % 6]`` pixels, (size, size).

    What it measures is that of its mask.
    """
    rng = plate_generator(name, kind, index)
    clean, depth = plate(size, name, rng)
    seed = int(rng.integers(2**32))
    largeness = _largeness(kind, SIZES[index % len(SIZES)], seed)
    mask = _drawn(kind, np.full((SIZE, SIZE, 3), METAL), largeness, seed)[0]
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    # Where the window's corner may lie for the defect to be on the plate.
    middle = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    reach = size - SIZE + 1
    on_plate = depth[middle[0] :, middle[1] :][:reach, :reach] > MARGIN
    top, left = np.divmod(rng.choice(np.flatnonzero(on_plate)), on_plate.shape[1])
    window = slice(top, top + SIZE), slice(left, left + SIZE)
    # A patch is cut out of the plate itself, a quarter turned.
    below = np.rot90(clean[window]) if kind == "patch" else clean[window]
    colours = np.repeat(below[..., np.newaxis].astype(np.float64), 3, axis=2)
    mask, opacity, look = _drawn(kind, colours, largeness, seed)
    image, whole = clean.copy(), np.zeros(clean.shape, np.bool_)
    surface = clean[window].astype(np.float64)
    image[window] = quantised(surface + opacity * (look - surface))
    whole[window] = mask
    return Flawed(clean, image, whole)


def extent(mask: BoolArray) -> int:
    """Return the longer side of the box around a mask, in pixels; 0 if it is empty."""
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    return max((int(side[-1] - side[0]) + 1 for side in sides if side.size), default=0)


def plate_generator(name: str, part: str, index: int) -> Generator:
    """Return one image's own source of chance, whatever else is drawn."""
    parts = ("train", "test", *DEFECTS)
    return np.random.default_rng([SEED, CLASSES.index(name), parts.index(part), index])


def defect_rows(flawed: Flawed) -> Iterator[tuple[str, float]]:
    """Yield what the set's table says of a defect, by column."""
    changed = flawed.image.astype(np.float64) - flawed.clean
    yield "size_px", extent(flawed.mask)
    yield "area_px", int(flawed.mask.sum())
    yield "contrast", round(float(np.abs(changed[flawed.mask]).mean()) / 255, 4)
    for axis, (low, high) in enumerate((("top", "bottom"), ("left", "right"))):
        side = np.flatnonzero(flawed.mask.any(axis=1 - axis))
        yield low, int(side[0])
        yield high, int(side[-1]) + 1


def _largeness(kind: str, wanted: float, seed: int) -> float:
    """Return what comes nearest to a defect of so many pixels, of a few tries."""
    tried, blank = {}, np.full((SIZE, SIZE, 3), METAL)
    largeness = wanted / SIZE
    for _ in range(TRIES):
        found = max(extent(_drawn(kind, blank, largeness, seed)[0]), 1)
        tried[largeness] = abs(found - wanted)
        largeness *= wanted / found
    return min(tried, key=tried.__getitem__)


def _drawn(
    kind: str, below: Float64Array, largeness: float, seed: int
) -> tuple[BoolArray, Float64Array, Float64Array]:
    """Return mask, opacity and grey look of a defect in a window, (SIZE, SIZE) each."""
    matte, look = DEFECTS[kind](np.random.default_rng(seed), below, largeness)
    mask = matte >= VISIBLE
    return mask, np.where(mask, matte, 0.0), look.mean(axis=2)


def _depth(y: Float32Array, x: Float32Array, half: float) -> Float32Array:
    """Return the distance to the plate's border, positive inside, in pixels."""
    corner = np.float32(CORNER * half)
    past_y, past_x = (
        np.maximum(np.abs(one) - (np.float32(side * half) - corner), 0.0)
        for one, side in zip((y, x), HALF_SIDES, strict=True)
    )
    depth = np.asarray(corner - np.hypot(past_y, past_x))
    for row, column, radius in HOLES:
        away = np.hypot(y - np.float32(row * half), x - np.float32(column * half))
        depth = np.minimum(depth, away - np.float32(radius * half))
    return depth


def _streaks(size: int, rng: Generator) -> Float32Array:
    """Return brushing along x with a deviation of about 1, (size, size)."""
    noise = rng.standard_normal((size, size), np.float32)
    streaks = ndimage.uniform_filter1d(noise, max(3, size // 30), axis=1, mode="wrap")
    streaks = ndimage.gaussian_filter1d(streaks, 0.7, axis=0, mode="wrap")
    return np.asarray(streaks / streaks.std())
