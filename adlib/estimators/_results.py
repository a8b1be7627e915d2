"""Image scores, anomaly maps, and what methods say of one image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Float64Array
from adlib.images._pixels import resize

SIGMA, REFERENCE_SIZE = 4.0, 224  # the paper's blur, in pixels of its image size


class Scored(NamedTuple):
    """Scores of one batch: (n,) of images, (n, grid_height, grid_width) of patches.

    ``maps``, (n, height, width), are there where image scores are taken from them.
    """

    image_scores: Float32Array
    patch_scores: Float32Array
    maps: Float32Array | None = None

    def anomaly_maps(self, size: tuple[int, int]) -> Float32Array:
        """Return the anomaly maps, (n, height, width)."""
        if self.maps is not None:
            return self.maps
        return anomaly_maps(self.patch_scores, size)

    def worst_places(self) -> Float64Array:
        """Return the centre of each image's highest value as shares of its sides."""
        values = self.patch_scores if self.maps is None else self.maps
        n_images, *grid = values.shape
        flat = values.reshape(n_images, -1).argmax(axis=1)
        return (np.stack(np.unravel_index(flat, grid), axis=1) + 0.5) / grid


@undisturbed()
def anomaly_maps(patch_scores: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Upsample patch scores bilinearly and blur them, as the paper does.

    Both steps are linear and separable, so together they are one small matrix for the
    rows and one for the columns: a map costs two matrix products and rounds the same in
    every batch. The blur is Gaussian with sigma 4 at 224 pixels, scaled with the size.
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
    """Return a map at another (height, width), bilinear; None: as it is."""
    return anomaly_map if size is None else np.array(resize(anomaly_map, size))


@lru_cache(maxsize=8)
def _upsample_and_blur(n_in: int, n_out: int) -> torch.Tensor:
    """Return one axis of the operation as a matrix, (n_out, n_in) float32."""
    impulses = torch.eye(n_in, dtype=torch.float64, device="cpu")[None]
    upsampled = F.interpolate(impulses, n_out, mode="linear", align_corners=False)
    sigma = SIGMA * n_out / REFERENCE_SIZE
    matrix = gaussian_filter1d(upsampled[0].numpy(), sigma, axis=1, mode="reflect")
    return torch.from_numpy(np.ascontiguousarray(matrix.T.astype(np.float32)))


class Short:
    """Results that are printed in one line, with the shapes of arrays alone."""

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        shown = [f"{name}={_text(v)}" for name, v in values.items() if v is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


@dataclass(frozen=True, repr=False)
class Inspection(Short):
    """One image, inspected.

    Of a skipped image the score is NaN, the verdict -1, and all but ``error`` None.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        score: Image score, higher = more anomalous.
        verdict: +1 normal, -1 anomalous; None before ``calibrate``.
        map: Anomaly map, (height, width) float32, same direction as the score.
        error: Why the image was skipped, or None.
        size: (height, width) of the image itself, as EXIF turns it upright.
        worst_pixel: (row, column) in the image itself of the centre of the patch with
            the highest score (of the map's highest value, where image scores are taken
            from the map).
    """

    path: str
    score: float
    verdict: int | None
    map: Float32Array | None
    error: str | None = None
    size: tuple[int, int] | None = None
    worst_pixel: tuple[int, int] | None = None

    def full_map(self) -> Float32Array:
        """Return the map stretched to the image's own size, as overlays show it.

        Returns:
            ``size``, (height, width), float32.

        Raises:
            ValueError: The image was skipped.
        """
        if self.map is None:
            raise ValueError(f"There is no map of a skipped image: {self.error}")
        return stretched(self.map, self.size)


@dataclass(frozen=True, repr=False)
class Explanation(Short):
    """The patch with the highest score, and the training patch nearest to it.

    Attributes:
        path: The image.
        patch: (row, column) of the patch in the grid.
        distance: Its distance to the memory bank.
        compared_with: Path of the training image that the nearest bank entry is from.
        compared_patch: (row, column) of that entry in its image's grid.
    """

    path: str
    patch: tuple[int, int]
    distance: float
    compared_with: str
    compared_patch: tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class ImageEmbeddings(Short):
    """The patch embeddings of one image.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        position: Which image of the source it is.
        patches: (grid_height, grid_width, n_features) float32.
    """

    path: str
    position: int
    patches: Float32Array
