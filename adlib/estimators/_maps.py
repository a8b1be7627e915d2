"""From a grid of patch scores to an anomaly map of the image's size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F

from adlib._torch import undisturbed
from adlib._typing import Float32Array
from adlib.images import resize

SIGMA, REFERENCE_SIZE = 4.0, 224  # the paper's blur, in pixels of its image size


@undisturbed()
def anomaly_maps(patch_scores: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Upsample patch scores bilinearly and blur them, as the paper does.

    Both steps are linear and separable, so together they are one small matrix for the
    rows and one for the columns: a map costs two matrix products, without any loop over
    pixels, and rounds the same in every batch.

    Args:
        patch_scores: (n_images, grid_height, grid_width) float32.
        size: (height, width) of the maps.

    Returns:
        (n_images, height, width) float32. The blur is Gaussian with sigma 4 at 224
        pixels, scaled with the size, cut at 4 sigma, reflecting at the borders.
    """
    rows = _upsample_and_blur(patch_scores.shape[1], size[0])
    columns = _upsample_and_blur(patch_scores.shape[2], size[1]).T
    maps = np.empty((len(patch_scores), *size), np.float32)
    # By torch, as the network: NumPy's threads would spin on the network's cores.
    grids = torch.from_numpy(np.ascontiguousarray(patch_scores))
    for scores, drawn in zip(grids, maps, strict=True):
        torch.mm(rows @ scores, columns, out=torch.from_numpy(drawn))
    return maps


def stretched(anomaly_map: Float32Array, size: tuple[int, int] | None) -> Float32Array:
    """Return a map at another (height, width), bilinear, as overlays show it.

    Args:
        anomaly_map: (height, width) float32.
        size: (height, width); None: the map's own.
    """
    return anomaly_map if size is None else np.array(resize(anomaly_map, size))


@lru_cache(maxsize=8)
def _upsample_and_blur(n_in: int, n_out: int) -> torch.Tensor:
    """Return one axis of the operation as a matrix, (n_out, n_in) float32."""
    impulses = torch.eye(n_in, dtype=torch.float64, device="cpu")[None]
    upsampled = F.interpolate(impulses, n_out, mode="linear", align_corners=False)
    sigma = SIGMA * n_out / REFERENCE_SIZE
    matrix = gaussian_filter1d(upsampled[0].numpy(), sigma, axis=1, mode="reflect")
    return torch.from_numpy(np.ascontiguousarray(matrix.T.astype(np.float32)))
