"""Lay an anomaly map over its image."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from adlib._typing import Float32Array
from adlib.images._pixels import resize

COLOURMAP = "inferno"  # even in lightness, so it reads without colour vision too
STRONGEST = 0.75  # opacity where the map reaches the top of its scale
LINES = 400  # a contour is one pixel wide for so many pixels of an image's side


def overlay(
    pixels: Float32Array,
    anomaly_map: Float32Array,
    low: float,
    high: float,
    *,
    contour: bool = False,
) -> Image.Image:
    """Lay a map over its image: clear at ``low``, glowing from ``high`` on.

    Args:
        pixels: Grey (height, width) or RGB (height, width, 3), float32 in [0, 1].
        anomaly_map: (map_height, map_width) numbers; stretched over the whole image.
        low: Map value from which colour sets in.
        high: Map value of the strongest colour; above ``low``.
        contour: Whether to draw a line, white beside black, around what lies above
            ``low``; colour then begins at a third of its scale, to be seen at once.

    Returns:
        An RGB image as large as ``pixels``.

    Example:
        >>> import numpy as np
        >>> from adlib.overlays import overlay
        >>> pixels = np.full((32, 48), 0.5, np.float32)
        >>> overlay(pixels, np.zeros((4, 6), np.float32), 1.0, 2.0).getpixel((0, 0))
        (128, 128, 128)
    """
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)  # noqa: PLR2004
    height, width = colours.shape[:2]
    stretched = resize(np.asarray(anomaly_map, np.float32), (height, width))
    level = np.clip((stretched - low) / max(high - low, 1e-12), 0.0, 1.0)
    if contour:
        level = np.where(stretched > low, (1 + 2 * level) / 3, np.float32(0))
    # In float32 and by a table: photographs of 50 megapixels would take gigabytes more.
    table = colormaps[COLOURMAP](np.arange(256))[:, :3].astype(np.float32)
    glow = table[np.minimum(256 * level, 255).astype(np.uint8)]
    opacity = np.float32(STRONGEST) * level[:, :, None]
    blended = colours + opacity * (glow - colours)
    if contour:
        region = stretched > low
        reach = 2 * max(1, round(min(height, width) / LINES)) + 1
        blended[~region & maximum_filter(region, reach, mode="nearest")] = 0.0
        blended[region & ~minimum_filter(region, reach, mode="nearest")] = 1.0
    return Image.fromarray(np.round(255 * blended).astype(np.uint8))
