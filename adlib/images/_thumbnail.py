"""Small pictures of an image and of where its anomaly map is high, for notebooks."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from adlib._html import ORANGE, fitting
from adlib._typing import Float32Array
from adlib.images._decode import read_image
from adlib.images._pixels import checked, resize

STRONGEST = 0.75  # opacity of the colour where the map is highest
GREY = "#808080"  # behind the map of an image that is not at hand


def thumbnail(path: str, size: tuple[int, int]) -> Image.Image | None:
    """Return an image file as a small RGB picture.

    None where there is no image of that (height, width) by now.
    """
    try:
        pixels = checked(read_image(path), path)
        if pixels.shape[:2] != size:
            return None
        small = resize(pixels, fitting(size))
    except Exception:  # of whatever became of the file meanwhile
        return None
    if pixels.dtype != np.uint8:  # how many bits are used is not known
        small = small / max(float(small.max()), 1e-12)
    return Image.fromarray(np.round(255 * small).astype(np.uint8)).convert("RGB")


def glowing(
    image: Image.Image | None,
    anomaly_map: Float32Array,
    size: tuple[int, int],
    low: float,
    high: float,
    *,
    outlined: bool,
) -> Image.Image:
    """Return the picture, or a grey one, coloured where a map is above ``low``.

    Colour is strongest from ``high`` on; ``outlined``: it sets in at a third of that,
    within a line, white beside black. ``size`` is the image's own.
    """
    height, width = fitting(size)
    ground = Image.new("RGB", (width, height), GREY) if image is None else image
    values = resize(anomaly_map, (height, width))
    level = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    above = values > low
    if outlined:
        level = np.where(above, (1 + 2 * level) / 3, 0.0)
    opacity = Image.fromarray(np.round(255 * STRONGEST * level).astype(np.uint8))
    drawn = Image.composite(Image.new("RGB", ground.size, ORANGE), ground, opacity)
    if outlined:
        region = Image.fromarray(above.astype(np.uint8) * np.uint8(255))
        outer = np.asarray(region.filter(ImageFilter.MaxFilter(3))) > 0
        inner = np.asarray(region.filter(ImageFilter.MinFilter(3))) > 0
        for line, colour in ((outer & ~above, "black"), (above & ~inner, "white")):
            drawn.paste(colour, mask=Image.fromarray(line))
    return drawn
