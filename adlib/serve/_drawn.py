"""Images and maps as files that a browser shows."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from adlib._typing import AnyArray, Float32Array
from adlib.images._decode import read_content

BRIGHTEST = 1.5  # times the pixel threshold: white, and full colour
# Colours of a map from 0 to 1, dark to light so that they read without colour vision.
COLOURS = [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)]
CLEAR, STRONGEST = 0.4, 0.9  # level up to which nothing is laid over; highest opacity
LINE = 255  # the colour of an outline in the palette
CLOSE = 6  # a close-up is this part of the image's shorter side
CLOSE_SIDE = 320  # pixels


def decoded(content: bytes, name: str) -> AnyArray:
    """Return the pixels of an image file as uint8, (h, w) or (h, w, 3).

    Of deeper images the highest value becomes white.

    Raises:
        ImageError: It cannot be decoded.
    """
    pixels = read_content(content, name)
    if pixels.dtype == np.uint8:
        return pixels
    shares = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
    shares = shares / max(float(shares.max()), 1e-12)
    return np.asarray(np.round(255 * np.clip(shares, 0.0, 1.0)).astype(np.uint8))


def as_jpeg(pixels: AnyArray, side: int) -> bytes:
    """Return pixels as a JPEG whose longer side is at most ``side``."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=88)
    return file.getvalue()


def close_up(pixels: AnyArray, row: float, column: float) -> bytes:
    """Return the surroundings of a place as a JPEG, the place in its middle."""
    side = max(16, min(pixels.shape[:2]) // CLOSE)
    top, left = int(row) - side // 2, int(column) - side // 2
    rows, columns = (  # the image's edge is repeated beyond it
        np.clip(np.arange(first, first + side), 0, length - 1)
        for first, length in zip((top, left), pixels.shape[:2], strict=True)
    )
    picture = Image.fromarray(np.ascontiguousarray(pixels[np.ix_(rows, columns)]))
    file = io.BytesIO()
    picture = picture.resize((CLOSE_SIDE, CLOSE_SIDE), Image.Resampling.BICUBIC)
    picture.save(file, format="JPEG", quality=92)
    return file.getvalue()


def as_grey(values: Float32Array, limit: float | None) -> AnyArray:
    """Return a map as uint8: 0 is 0, and 255 is 1.5 times the pixel threshold.

    The same for all images of a model; without a threshold 255 is the map's maximum.
    """
    white = BRIGHTEST * limit if limit is not None and limit > 0 else values.max()
    shares = np.clip(values / max(float(white), 1e-12), 0.0, 1.0)
    return np.asarray(np.round(255 * shares).astype(np.uint8))


def as_glow(values: Float32Array, limit: float | None, *, outline: bool) -> bytes:
    """Return a map as a PNG to lay over its image: clear where it is low.

    With ``outline`` a white line is drawn along the pixel threshold ``limit``.
    """
    levels = np.minimum(as_grey(values, limit), LINE - 1)
    if outline and limit is not None:
        above = values > limit
        inner = above.copy()
        inner[1:] &= above[:-1]
        inner[:-1] &= above[1:]
        inner[:, 1:] &= above[:, :-1]
        inner[:, :-1] &= above[:, 1:]
        levels = np.where(above & ~inner, np.uint8(LINE), levels)
    shares = np.arange(LINE + 1) / LINE
    anchors = np.linspace(0.0, 1.0, len(COLOURS))
    palette = [np.interp(shares, anchors, one) for one in np.transpose(COLOURS)]
    opacity = STRONGEST * np.clip((shares - CLEAR) / (1.0 - CLEAR), 0.0, 1.0)
    opacity[LINE] = 1.0
    colours = np.stack(palette, axis=1)
    colours[LINE] = 255.0
    picture = Image.fromarray(levels, mode="P")
    picture.putpalette(colours.round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    clear = (255 * opacity).round().astype(np.uint8).tobytes()
    picture.save(file, format="PNG", transparency=clear)
    return file.getvalue()
