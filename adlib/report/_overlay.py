"""Lay an anomaly map over its image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from adlib._typing import Float32Array
from adlib.report._missing import needs_report_extra

COLOURMAP = "inferno"  # even in lightness, so it reads without colour vision too
STRONGEST = 0.75  # opacity where the map reaches the top of its scale


def overlay(
    pixels: Float32Array, anomaly_map: Float32Array, low: float, high: float
) -> Image.Image:
    """Lay a map over its image: clear at ``low``, glowing from ``high`` on.

    Args:
        pixels: Grey (height, width) or RGB (height, width, 3), float32 in [0, 1].
        anomaly_map: (map_height, map_width) numbers; stretched over the whole image.
        low: Map value from which colour sets in.
        high: Map value of the strongest colour; above ``low``.

    Returns:
        An RGB image as large as ``pixels``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import overlay
        >>> pixels = np.full((32, 48), 0.5, np.float32)
        >>> overlay(pixels, np.zeros((4, 6), np.float32), 1.0, 2.0).getpixel((0, 0))
        (128, 128, 128)
    """
    with needs_report_extra("A heat-map overlay"):
        from matplotlib import colormaps  # noqa: PLC0415 - optional
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)  # noqa: PLR2004
    height, width = colours.shape[:2]
    plane = Image.fromarray(np.ascontiguousarray(anomaly_map, dtype=np.float32))
    stretched = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    level = np.clip((stretched - low) / max(high - low, 1e-12), 0.0, 1.0)
    glow = colormaps[COLOURMAP](level)[:, :, :3]
    opacity = STRONGEST * level[:, :, None]
    blended = (1 - opacity) * colours + opacity * glow
    return Image.fromarray(np.round(255 * blended).astype(np.uint8))
