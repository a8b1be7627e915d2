"""A fitted detector as one function of images, for torch's ONNX exporter to follow.

What the estimators do in several libraries is written here once more in torch, from the
bytes of images to scores, maps and verdicts. Whatever runtimes differ in is written as
sums and products.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from adlib._typing import Float32Array
from adlib.estimators import AnomalyDetector, PaDiM, PatchCore
from adlib.estimators._aggregation import n_highest
from adlib.estimators._gaussian import Gaussian
from adlib.estimators._gaussian_cpu import unblocked
from adlib.estimators._results import upsample_and_blur
from adlib.features._embedding import Embedder
from adlib.images._pixels import UINT8_MAX
from adlib.neighbors import MemoryBank

MapSize: TypeAlias = tuple[int, int] | Literal["original"] | None
TILE = 1024  # entries of the bank that patches are compared with at once


class Whole(nn.Module):
    """A detector: images (n, height, width, 1, 3 or 4) uint8 to what ``outputs`` names.

    A grey image has one channel; of four the last, alpha, is dropped.
    """

    outputs: list[str]
    _rows: torch.Tensor
    _columns: torch.Tensor
    _threshold: torch.Tensor
    _kept: torch.Tensor
    _places: torch.Tensor
    _weights: torch.Tensor

    def __init__(self, detector: AnomalyDetector, map_size: MapSize) -> None:
        super().__init__()
        self._size, self._grid = detector._size, detector.grid_
        inside = detector._inside()
        n_patches = self._grid[0] * self._grid[1]
        self._n_inside: int | None = None
        if inside is not None:
            kept = np.flatnonzero(inside.patches)
            self._n_inside = n_patches = len(kept)
            # Of each patch its place among those inside; one more, of 0, for the rest.
            places = np.full(inside.patches.size, len(kept))
            places[kept] = np.arange(len(kept))
            self.register_buffer("_kept", torch.from_numpy(kept))
            self.register_buffer("_places", torch.from_numpy(places))
            self.register_buffer("_weights", torch.from_numpy(inside.weights))
        self._map_size = self._size if map_size is None else map_size
        self._embedding = _Embedding(detector)
        self._scores = _PatchScores(detector, n_patches)
        rows, columns = (
            upsample_and_blur(n_in, n_out, detector._drawing)
            for n_in, n_out in zip(self._grid, self._size, strict=True)
        )
        self.register_buffer("_rows", rows)
        self.register_buffer("_columns", columns.T.contiguous())
        threshold = detector._threshold()
        self.outputs = ["score", "anomaly_map", "patch_scores"]
        if threshold is not None:
            self.outputs.append("verdict")
            # As high as float32 goes without passing it: the same verdict on any score.
            at_most = np.float32(threshold)
            if float(at_most) > threshold:
                at_most = np.nextafter(at_most, np.float32(-np.inf))
            self.register_buffer("_threshold", torch.tensor(at_most))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs, in the order of ``outputs``."""
        _, height, width, n_channels = images.shape
        planes = images.permute(0, 3, 1, 2).float() / UINT8_MAX
        planes = _stretched(planes, (height, width), self._size)
        last = torch.arange(n_channels)[-1:]
        planes = planes.index_select(1, torch.minimum(torch.arange(3), last))
        embeddings = self._embedding(planes)
        if self._n_inside is not None:
            embeddings = embeddings.index_select(1, self._kept)
        patch_scores, image_scores = self._scores(embeddings)
        if self._n_inside is not None:
            filled = nn.functional.pad(patch_scores, (0, 1))
            patch_scores = filled.index_select(1, self._places)
        patch_scores = patch_scores.reshape(-1, *self._grid)
        maps = self._rows @ patch_scores @ self._columns
        if self._n_inside is not None:
            maps = maps * self._weights
        if image_scores is None:
            image_scores = maps.amax(dim=(1, 2))
        size = self._map_size
        size = (height, width) if isinstance(size, str) else size
        if size != self._size:
            maps = _stretched(maps, self._size, size)
        found = [image_scores, maps, patch_scores]
        if "verdict" in self.outputs:
            normal = image_scores <= self._threshold
            found.append(torch.where(normal, 1, -1).to(torch.int32))
        return tuple(found)


def _stretched(
    planes: torch.Tensor, size: tuple[int, int], wanted: tuple[int, int]
) -> torch.Tensor:
    """Resize planes, (..., height, width), as ``images.resize`` does."""
    return _resizing(size[0], wanted[0]) @ planes @ _resizing(size[1], wanted[1]).T


def _resizing(n_in: int, n_out: int) -> torch.Tensor:
    """Return Pillow's bilinear resize with antialiasing of one axis, (n_out, n_in).

    With M the larger of both, output o takes the share
    max(0, 2 M - |(2 i + 1) n_out - (2 o + 1) n_in|) of input i, over the sum of all
    shares: whole numbers, which every runtime gets right for sizes known only to it.
    """
    inputs = (2 * torch.arange(n_in) + 1) * n_out
    outputs = (2 * torch.arange(n_out) + 1) * n_in
    apart = (inputs[None] - outputs[:, None]).abs()
    reach: Any = torch.sym_max(n_in, n_out)  # a symbol or a number
    shares = (2 * reach - apart).clamp(min=0).float()
    found: torch.Tensor = shares / shares.sum(dim=1, keepdim=True)
    return found


class _Embedding(nn.Module):
    """Turns RGB in [0, 1], (n, 3, *image_size), into patch embeddings."""

    _mean: torch.Tensor
    _std: torch.Tensor

    def __init__(self, detector: AnomalyDetector) -> None:
        super().__init__()
        embedder = detector._embedder()
        assert isinstance(embedder, Embedder)  # as both of adlib's detectors have it
        self._embedder = embedder
        self._network = embedder.backbone.network()
        mean, std = (torch.tensor(v) for v in embedder.backbone.normalisation)
        self.register_buffer("_mean", mean.view(1, 3, 1, 1))
        self.register_buffer("_std", std.view(1, 3, 1, 1))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        maps = self._network((planes - self._mean) / self._std)
        return self._embedder.embed(maps).flatten(1, 2)


class _PatchScores(nn.Module):
    """Scores patch embeddings, (n, n_patches, n_features): of patches, of images.

    The second is None where image scores are the maps' highest values.
    """

    def __init__(self, detector: AnomalyDetector, n_patches: int) -> None:
        super().__init__()
        assert isinstance(detector, PatchCore | PaDiM)
        self._aggregation = detector.aggregation
        self._n_top = n_highest(n_patches, detector.top_ratio)
        self._bank: _Bank | None = None
        if isinstance(detector, PaDiM):
            self._distances: _Gaussians | _Bank = _Gaussians(detector.gaussian_)
        else:
            n_near = 0
            if detector.aggregation == "reweighted":
                n_near = min(detector.n_neighbors, len(detector.memory_bank_))
            self._distances = _Bank(detector.memory_bank_, n_near)

    def forward(
        self, embeddings: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        distances = self._distances(embeddings)
        if self._aggregation == "map_max":
            return distances, None
        if self._aggregation == "top_mean":
            top = distances.topk(self._n_top, dim=1).values
            return distances, top.mean(dim=1)
        if self._aggregation == "max":
            return distances, distances.amax(dim=1)
        assert isinstance(self._distances, _Bank)
        return distances, self._distances.reweighted(embeddings, distances)


class _Bank(nn.Module):
    """Distances to the nearest entry of a memory bank, (n, n_patches).

    The bank is cut into tiles of equal size. Of the products of patches with all tiles
    the largest in each column is kept, so that memory is that of one tile. Products
    cancel where a patch is near an entry; so the distances to all entries of the best
    column are taken from differences, and the least of them is returned.
    """

    _mean: torch.Tensor
    _near: torch.Tensor  # of each entry the nearest ones, (n_entries, n_near)

    def __init__(self, bank: MemoryBank, n_near: int) -> None:
        super().__init__()
        entries = bank.embeddings
        self._n_entries = len(entries)
        self._n_tiles = -(-len(entries) // TILE)
        self._tile = -(-len(entries) // self._n_tiles)
        n_missing = self._n_tiles * self._tile - len(entries)
        filled = np.concatenate([entries, np.repeat(entries[-1:], n_missing, axis=0)])
        # |x - m|^2 is least where x m - |m|^2 / 2 is largest. Both are taken from the
        # mean, which makes them small and what they round little.
        mean = entries.mean(axis=0, dtype=np.float64).astype(np.float32)
        filled -= mean
        self.register_buffer("_mean", torch.from_numpy(mean))
        for i, tile in enumerate(filled.reshape(self._n_tiles, self._tile, -1)):
            half = np.square(tile, dtype=np.float64).sum(axis=1) / 2
            self.register_buffer(f"_tile_{i}", torch.from_numpy(tile))
            self.register_buffer(f"_half_{i}", torch.from_numpy(-half.astype("f4")))
        if n_near:
            near = bank.kneighbors(entries, n_near).indices
            self.register_buffer("_near", torch.from_numpy(near.astype(np.int64)))

    def _tiles(self) -> list[torch.Tensor]:
        return [getattr(self, f"_tile_{i}") for i in range(self._n_tiles)]

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        patches = (embeddings - self._mean).flatten(0, 1)
        squared, _ = self._column(patches)
        return squared.amin(dim=1).sqrt().reshape(-1, embeddings.shape[1])

    def _column(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return squared distances to the best column, (n, n_tiles), and its number."""
        halves = [getattr(self, f"_half_{i}") for i in range(self._n_tiles)]
        products = (
            torch.addmm(half, patches, tile.T)
            for half, tile in zip(halves, self._tiles(), strict=True)
        )
        column = reduce(torch.maximum, products).argmax(dim=1)
        squared = [
            (patches - tile.index_select(0, column)).square().sum(dim=1)
            for tile in self._tiles()
        ]
        return torch.stack(squared, dim=1), column

    def reweighted(
        self, embeddings: torch.Tensor, distances: torch.Tensor
    ) -> torch.Tensor:
        """Return image scores by the paper's equation 7; see ``reweighted_scores``."""
        n_images, n_patches = distances.shape
        worst = torch.arange(n_images) * n_patches + distances.argmax(dim=1)
        patches = (embeddings - self._mean).flatten(0, 1).index_select(0, worst)
        squared, column = self._column(patches)
        nearest = squared.argmin(dim=1) * self._tile + column
        nearest = nearest.clamp(max=self._n_entries - 1)
        near = self._near.index_select(0, nearest)
        entries = torch.zeros(1)
        for i, tile in enumerate(self._tiles()):
            here = near // self._tile == i
            rows = tile.index_select(0, (near % self._tile).flatten())
            rows = rows.reshape(-1, near.shape[1], rows.shape[1])
            entries = entries + torch.where(here[:, :, None], rows, 0.0)
        around = (patches[:, None] - entries).square().sum(dim=2).sqrt()
        highest = squared.amin(dim=1).sqrt()
        shift = around.amax(dim=1)
        share = (highest - shift).exp() / (around - shift[:, None]).exp().sum(dim=1)
        return (1.0 - share) * highest


class _Gaussians(nn.Module):
    """Mahalanobis distances, (n, n_positions); see ``Gaussian`` for both forms."""

    _mean: torch.Tensor
    _factors: torch.Tensor
    _spread: torch.Tensor

    def __init__(self, gaussian: Gaussian) -> None:
        super().__init__()
        n_positions, n_features = gaussian.mean.shape
        packed = unblocked(gaussian.factors)[:n_positions]
        spread = None
        size = n_features
        if gaussian.spread is not None:
            columns = unblocked(gaussian.spread)[:n_positions]
            spread = columns.reshape(n_positions, -1, n_features)
            size = spread.shape[1]
        rows, columns = np.tril_indices(size)
        factors = np.zeros((n_positions, size, size), np.float32)
        factors[:, rows, columns] = packed
        self._rest = 1.0 / gaussian.regularization
        self._is_spread = spread is not None
        if spread is not None:
            inverse = factors.astype(np.float64)
            factors = (inverse.transpose(0, 2, 1) @ inverse).astype(np.float32)
            self._keep("_spread", spread)
        self._keep("_mean", gaussian.mean)
        self._keep("_factors", factors)

    def _keep(self, name: str, values: Float32Array) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        # (n_positions, n_features, n): each position has a matrix of its own.
        x = (embeddings - self._mean).permute(1, 2, 0)
        if not self._is_spread:
            return (self._factors @ x).square().sum(dim=1).sqrt().T
        w = (self._factors @ (self._spread @ x)).transpose(1, 2)
        left = x.transpose(1, 2) - w @ self._spread
        squared = w.square().sum(dim=2) + self._rest * left.square().sum(dim=2)
        return squared.sqrt().T
