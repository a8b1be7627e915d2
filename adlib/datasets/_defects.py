"""Five kinds of defects, each drawn as a layer to lay over a normal image.

A layer says how opaque it is at each pixel and what is seen where it is. Pixels where
it is hardly opaque stay as they are, bit for bit; all others are the mask. What covers
the surface has a sensor's noise too; what tints it lets the surface's noise through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from adlib._typing import BoolArray, Float64Array, UInt8Array
from adlib.datasets._textures import grain, quantised

VISIBLE = 0.1  # below this opacity a layer leaves the pixel alone
LARGENESS = (0.65, 1.1, 1.8)  # small, medium, large, in turn
# Busy surfaces hide what is small, from people too.
CLASS_LARGENESS = {"brick": 1.0, "grass": 1.6, "gravel": 1.6}


class Layer(NamedTuple):
    """A defect before it is laid over an image.

    ``matte`` is its opacity, (height, width) in [0, 1]; ``look`` what is seen there,
    (height, width, 3) levels.
    """

    matte: Float64Array
    look: Float64Array


class Flawed(NamedTuple):
    """A normal image, and a copy with a defect, which differs only inside ``mask``."""

    clean: UInt8Array
    image: UInt8Array
    mask: BoolArray


def add_defect(
    clean: UInt8Array,
    other: UInt8Array,
    name: str,
    kind: str,
    index: int,
    rng: Generator,
) -> Flawed:
    """Return a normal image, (height, width, 3), and its copy with a defect.

    ``other`` is what the defect is made of: the image itself, or what a misplaced patch
    shows. Sizes go round with ``index``.
    """
    size = CLASS_LARGENESS[name] * LARGENESS[index % len(LARGENESS)]
    size *= rng.uniform(0.85, 1.15)
    matte, look = DEFECTS[kind](rng, other.astype(np.float64), size)
    mask = matte >= VISIBLE
    opacity = np.where(mask, matte, 0.0)[..., np.newaxis]
    below = clean.astype(np.float64)
    return Flawed(clean, quantised(below + opacity * (look - below)), mask)


def _crack(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a dark jagged line that thins out at its ends, at times with a branch."""
    length = round(70 * size)
    angle = rng.uniform(0.0, 2 * math.pi)
    path = _walk(np.zeros(2), angle, length, rng)
    path += _inside(below, rng, length / 4) - path[length // 2]
    width = rng.uniform(0.9, 1.4) * size
    matte = _stroke(below, path, width * _tapered(length, rng))
    if size > 1 or rng.random() < 0.4:  # noqa: PLR2004 - some small ones branch too
        start = int(rng.integers(length // 4, 3 * length // 4))
        fork = angle + rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        branch = _walk(path[start], fork, length // 2, rng)
        thinner = 0.7 * width * _tapered(length // 2, rng)
        matte = np.maximum(matte, _stroke(below, branch, thinner))
    return Layer(matte, below * rng.uniform(0.15, 0.5))


def _hole(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a rounded dark hollow, lit on the side that faces the light."""
    radius = 9 * size
    centre = _inside(below, rng, radius)
    matte, slope = _blob(below, centre, radius, rng, roughness=0.12, softness=1.5)
    depth = rng.uniform(0.25, 0.6)
    tone = ndimage.gaussian_filter(below, (2.0, 2.0, 0.0)).mean(axis=(0, 1))
    shade = (depth + 0.25 * np.clip(slope, -1.0, 1.0))[..., np.newaxis]
    # Some of the surface's own relief goes on inside.
    look = shade * (0.6 * tone + 0.4 * below)
    return Layer(matte, look + grain(below.shape, rng))


def _stain(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a discolouration with soft edges, through which the surface shows."""
    radius = 16 * size
    centre = _inside(below, rng, radius / 2)
    matte, _slope = _blob(below, centre, radius, rng, roughness=0.15, softness=8.0)
    mottle = ndimage.gaussian_filter(rng.normal(size=below.shape[:2]), 4.0)
    strength = rng.uniform(0.3, 0.75)
    hue = np.array(STAINS[int(rng.integers(len(STAINS)))])
    filtered = below * (1.0 - strength * (1.0 - hue))
    cover = np.clip(0.85 + 1.5 * mottle, 0.5, 1.0)
    return Layer(matte * cover, filtered)


def _patch(rng: Generator, other: Float64Array, size: float) -> Layer:
    """Lay a cut-out of another picture over the surface."""
    half = 14 * size * rng.uniform(0.7, 1.2, 2)
    centre = _inside(other, rng, float(half.max()) * 0.7)
    along, across = _turned(other, centre, rng.uniform(0.0, math.pi))
    # The distance outside of a rectangle with rounded corners.
    corner = 0.3 * float(half.min())
    past = np.maximum(np.abs([along, across]) - (half - corner)[:, None, None], 0.0)
    matte = _edge(corner - np.hypot(*past), 1.5)
    return Layer(matte, other)


def _thread(rng: Generator, below: Float64Array, size: float) -> Layer:
    """Draw a thin smooth curve, white, black or blue, with its shadow beside it."""
    length = round(90 * size)
    bend = ndimage.gaussian_filter1d(rng.normal(size=length), length / 8)
    angle = rng.uniform(0.0, 2 * math.pi) + np.cumsum(bend) * 1.6 / length**0.5
    steps = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    path = np.cumsum(steps, axis=0)
    path += _inside(below, rng, length / 4) - path[length // 2]
    width = rng.uniform(0.7, 1.2) * size**0.6
    thread = _stroke(below, path, np.full(length, width))
    shadow = 0.4 * _stroke(below, path + SHADOW, np.full(length, width))
    tone = below.mean(axis=(0, 1))
    dye = np.array(THREADS[int(rng.integers(len(THREADS)))])
    colour = tone + rng.uniform(0.5, 1.0) * (dye - tone) + grain(below.shape, rng)
    cover = thread[..., np.newaxis]
    return Layer(np.maximum(thread, shadow), cover * colour + (1 - cover) * below * 0.4)


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


def _inside(below: Float64Array, rng: Generator, margin: float) -> Float64Array:
    """Return a random point (y, x), a margin away from the image's border."""
    low = min(margin, min(below.shape[:2]) / 2 - 1) + 1
    return np.array([rng.uniform(low, extent - low) for extent in below.shape[:2]])


def _walk(
    start: Float64Array, angle: float, length: int, rng: Generator
) -> Float64Array:
    """Return points a pixel apart, (length, 2), that keep a course except for kinks."""
    kinks = np.repeat(rng.normal(0.0, 0.55, length // 4 + 1), 4)[:length]
    drift = np.cumsum(rng.normal(0.0, 0.06, length))
    course = angle + kinks + drift
    return np.asarray(
        start + np.cumsum(np.stack([np.sin(course), np.cos(course)], axis=-1), axis=0)
    )


def _tapered(length: int, rng: Generator) -> Float64Array:
    """Return widths around 1 that wander and shrink towards both ends, (length,)."""
    wander = 1.0 + 1.5 * ndimage.gaussian_filter1d(rng.normal(size=length), 3.0)
    ends = np.sin(np.linspace(0.15, math.pi - 0.15, length)) ** 0.5
    return np.asarray(np.clip(wander, 0.4, 1.8) * ends)


def _stroke(
    below: Float64Array, path: Float64Array, half_widths: Float64Array
) -> Float64Array:
    """Return the matte, (height, width), of a line with smooth edges.

    ``path`` is points about a pixel apart, (n_points, 2), with a half width each.
    """
    height, width = below.shape[:2]
    reach = math.ceil(float(half_widths.max()) + 1)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    pixels = np.rint(path).astype(np.int64)[:, np.newaxis] + offsets
    distance = np.linalg.norm(pixels - path[:, np.newaxis], axis=-1)
    cover = np.clip(half_widths[:, np.newaxis] + 0.5 - distance, 0.0, 1.0)
    y, x = pixels[..., 0], pixels[..., 1]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    matte = np.zeros((height, width))
    np.maximum.at(matte, (y[inside], x[inside]), cover[inside])
    return matte


def _blob(
    below: Float64Array,
    centre: Float64Array,
    radius: float,
    rng: Generator,
    *,
    roughness: float,
    softness: float,
) -> tuple[Float64Array, Float64Array]:
    """Return a rounded matte, and how far along the light each pixel lies in radii."""
    along, across = _turned(below, centre, rng.uniform(0.0, math.pi))
    across = across * rng.uniform(1.0, 1.6)  # longer than wide
    around = np.arctan2(across, along)
    outline = np.full(around.shape, radius)
    for lobes in range(2, 8):
        size = radius * rng.normal(0.0, roughness) / lobes
        outline += size * np.cos(lobes * around + rng.uniform(0.0, 2 * math.pi))
    matte = _edge(outline - np.hypot(along, across), softness)
    down, right = _turned(below, centre, 0.0)
    return matte, (0.8 * down + 0.6 * right) / radius


def _turned(
    below: Float64Array, centre: Float64Array, angle: float
) -> tuple[Float64Array, Float64Array]:
    """Return two coordinates of each pixel from a centre, on rotated axes."""
    height, width = below.shape[:2]
    y = np.arange(height)[:, np.newaxis] - centre[0]
    x = np.arange(width)[np.newaxis] - centre[1]
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * y + sin * x, cos * x - sin * y


def _edge(depth: Float64Array, softness: float) -> Float64Array:
    """Return opacities that rise from 0 to 1 over ``softness`` pixels of depth."""
    share = np.clip(depth / softness + 0.5, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
