"""Image scores and anomaly maps, and what methods say of one image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F

from adlib._inspection import Short
from adlib._torch import undisturbed
from adlib._typing import BoolArray, Float32Array, Float64Array, Int64Array

SIGMA, REFERENCE_SIZE = 4.0, 224  # the paper's blur, in pixels of its image size
MapKind: TypeAlias = Literal["paper", "anomalib"]
HALF = 0.5  # of a patch or pixel: with as much of it in the region it counts
LEAST_WEIGHT = 0.01  # of the patches inside in the value of a pixel that counts


class Drawing(NamedTuple):
    """How patch scores become a map: upsampled in torch's mode, then blurred.

    The blur's sigma is 4 pixels of a map of 224, ``scaled`` with the size or not;
    ``border`` is how SciPy goes on beyond the map.
    """

    mode: Literal["linear", "nearest"] = "linear"
    scaled: bool = True
    border: Literal["reflect", "mirror"] = "reflect"


PAPERS = Drawing()


@dataclass(frozen=True, eq=False)
class Inside:
    """Which patches lie in the region of interest, (grid_height, grid_width) bool.

    ``share`` is how much of each pixel does, (height, width) in [0, 1].
    """

    patches: BoolArray
    share: Float32Array

    @classmethod
    @undisturbed()
    def of(cls, share: Float32Array, grid: tuple[int, int]) -> Inside:
        """Take the patches with half of their area inside; if none, the best one."""
        shares = F.adaptive_avg_pool2d(torch.from_numpy(share)[None], grid)[0].numpy()
        return cls(shares >= min(HALF, shares.max()), share)

    def spread(self, patch_scores: Float32Array) -> Float32Array:
        """Return scores of the patches inside in the whole grid, 0 outside."""
        n_images = len(patch_scores)
        whole = np.zeros((n_images, *self.patches.shape), np.float32)
        whole[:, self.patches] = patch_scores.reshape(n_images, -1)
        return whole

    @cached_property
    def weights(self) -> Float32Array:
        """What a map of scores that are 0 outside is multiplied by.

        A pixel in the region is then the mean of the patches inside, each with the
        weight that upsampling and blur give it there; others are 0.
        """
        inside = self.patches[None].astype(np.float32)
        (sums,) = anomaly_maps(inside, self.share.shape)
        counts = (self.share >= HALF) & (sums >= LEAST_WEIGHT)
        none = np.zeros_like(sums)
        return np.asarray(np.divide(1.0, sums, out=none, where=counts))


class Scored(NamedTuple):
    """Scores of one batch: (n,) of images, (n, grid_height, grid_width) of patches.

    ``maps``, (n, height, width), are there where image scores are taken from them.
    ``inside`` says which patches count; the others score 0. ``nearest``, (n,
    n_patches), names the entries of a memory bank that the patches inside are nearest
    to, where there is one.
    """

    image_scores: Float32Array
    patch_scores: Float32Array
    maps: Float32Array | None = None
    inside: Inside | None = None
    nearest: Int64Array | None = None

    def anomaly_maps(
        self, size: tuple[int, int], drawing: Drawing = PAPERS
    ) -> Float32Array:
        """Return the anomaly maps, (n, height, width)."""
        if self.maps is not None:
            return self.maps
        maps = anomaly_maps(self.patch_scores, size, drawing)
        return maps if self.inside is None else maps * self.inside.weights

    def worst_places(self) -> Float64Array:
        """Return the centre of each image's highest value as shares of its sides."""
        values = self.patch_scores if self.maps is None else self.maps
        n_images, *grid = values.shape
        flat = values.reshape(n_images, -1).argmax(axis=1)
        return (np.stack(np.unravel_index(flat, grid), axis=1) + 0.5) / grid


@undisturbed()
def anomaly_maps(
    patch_scores: Float32Array, size: tuple[int, int], drawing: Drawing = PAPERS
) -> Float32Array:
    """Upsample patch scores and blur them; bilinearly, as the paper does, by default.

    Both steps are linear and separable, so together they are one small matrix for the
    rows and one for the columns: a map costs two matrix products and rounds the same in
    every batch. The paper's blur is Gaussian with sigma 4 at 224 pixels.
    """
    rows = upsample_and_blur(patch_scores.shape[1], size[0], drawing)
    columns = upsample_and_blur(patch_scores.shape[2], size[1], drawing).T
    maps = np.empty((len(patch_scores), *size), np.float32)
    # By torch, as the network: NumPy's threads would spin on the network's cores.
    grids = torch.from_numpy(np.ascontiguousarray(patch_scores))
    for scores, drawn in zip(grids, maps, strict=True):
        torch.mm(rows @ scores, columns, out=torch.from_numpy(drawn))
    return maps


@lru_cache(maxsize=8)
def upsample_and_blur(n_in: int, n_out: int, drawing: Drawing = PAPERS) -> torch.Tensor:
    """Return one axis of the operation as a matrix, (n_out, n_in) float32."""
    impulses = torch.eye(n_in, dtype=torch.float64, device="cpu")[None]
    upsampled = F.interpolate(impulses, n_out, mode=drawing.mode)[0].numpy()
    sigma = SIGMA * n_out / REFERENCE_SIZE if drawing.scaled else SIGMA
    matrix = gaussian_filter1d(upsampled, sigma, axis=1, mode=drawing.border)
    return torch.from_numpy(np.ascontiguousarray(matrix.T.astype(np.float32)))


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
        patches: (grid_height, grid_width, n_features) float32; NaN outside of the
            region.
    """

    path: str
    position: int
    patches: Float32Array
