"""What a shift does to pixels: plain functions on torch tensors.

Images are (1 or 3, height, width) float32 in [0, 1], masks (1, height, width) uint8.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from adlib._typing import Float32Array, Float64Array

Light: TypeAlias = Literal["left", "right", "top", "bottom", "radial"]
LIGHTS: tuple[Light, ...] = ("left", "right", "top", "bottom", "radial")
# Gradients are smoothed with a standard deviation of 80 pixels of an image of 1024x1024
# (MVTec AD's size), here of a field of 128x128 that is then resized to the image.
FIELD_SIDE, FIELD_SIGMA = 128, 80 * 128 / 1024


def affine_matrix(
    size: tuple[int, int],
    rotation: float,
    zoom: float,
    offset: tuple[float, float],
) -> Float64Array:
    """Return the (2, 3) matrix: source (x, y) = matrix @ (x, y, 1).

    ``rotation`` is in degrees, counter-clockwise about the centre; ``offset`` is (down,
    right) in pixels, after rotation and zoom. Points are pixels' corners: the centre of
    the first pixel is (0.5, 0.5).
    """
    height, width = size
    angle = math.radians(rotation)
    # Undo the offset, then the zoom, then turn back (y points down).
    turn = np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    linear = turn / zoom
    centre = np.array([width / 2, height / 2])
    moved = centre + np.array(offset[::-1])
    return np.column_stack([linear, centre - linear @ moved])


def warp(
    image: torch.Tensor, matrix: Float64Array, *, nearest: bool = False
) -> torch.Tensor:
    """Return an image, (channels, height, width), moved and mirrored outside.

    ``nearest`` takes the nearest pixel, as masks need it, instead of four.
    """
    height, width = image.shape[1:]
    x = torch.arange(width, dtype=torch.float64, device="cpu") + 0.5
    y = (torch.arange(height, dtype=torch.float64, device="cpu") + 0.5)[:, None]
    grid = torch.stack(
        [
            (a * x + b * y + c) * (2 / side) - 1
            for (a, b, c), side in zip(matrix.tolist(), (width, height), strict=True)
        ],
        dim=-1,
    )
    moved = F.grid_sample(
        image[None].float(),
        grid[None].float(),
        mode="nearest" if nearest else "bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
    return moved[0].to(image.dtype)


def jitter_colours(
    image: torch.Tensor, brightness: float, contrast: float, saturation: float
) -> torch.Tensor:
    """Return an image with brightness, contrast and saturation times a factor each."""
    image = vision.adjust_brightness(image, brightness)
    image = vision.adjust_contrast(image, contrast)
    if len(image) > 1:  # grey has none
        image = vision.adjust_saturation(image, saturation)
    return image


def light_field(
    kind: Light, strength: float, centre: tuple[float, float]
) -> Float32Array:
    """Return a gradient of light, (128, 128) float32 in (0, 1].

    It falls linearly from the side ``kind``, or from ``centre``, (y, x) in shares of
    the sides, to the farthest corner. ``strength`` is the share of the light that is
    missing where it is darkest, before the field is smoothed.
    """
    points = (np.arange(FIELD_SIDE) + 0.5) / FIELD_SIDE
    y, x = points[:, None], points[None]
    if kind == "radial":
        far = max(
            math.dist(centre, corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))
        )
        dark = np.hypot(y - centre[0], x - centre[1]) / far
    else:
        ramps = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
        dark = np.broadcast_to(ramps[kind], (FIELD_SIDE, FIELD_SIDE))
    field = gaussian_filter(1 - strength * dark, FIELD_SIGMA, mode="nearest")
    return np.asarray(field, dtype=np.float32)


def light(image: torch.Tensor, field: Float32Array) -> torch.Tensor:
    """Return an image under a gradient of light, resized to it."""
    whole = F.interpolate(
        torch.from_numpy(field)[None, None], image.shape[1:], mode="bilinear"
    )
    return image * whole[0]


def blur(image: torch.Tensor, kernel: int) -> torch.Tensor:
    """Return an image blurred by a Gaussian kernel of an odd side in pixels.

    Its standard deviation follows from the side as in OpenCV: 0.8 for 3, 1.1 for 5.
    """
    if kernel == 1:
        return image
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    kernel = min(kernel, *(2 * side - 1 for side in image.shape[1:]))  # it is mirrored
    blurred: torch.Tensor = vision.gaussian_blur(image, [kernel] * 2, [sigma] * 2)
    return blurred


def add_noise(
    image: torch.Tensor, sigma: float, rng: np.random.Generator
) -> torch.Tensor:
    """Return an image with Gaussian noise of a standard deviation, cut to [0, 1]."""
    noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return (image + sigma * torch.from_numpy(noise)).clamp(0, 1)
