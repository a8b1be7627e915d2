"""The work that all libraries are given: real images and real patch embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from adlib.features import Backbone, patch_embeddings
from adlib.images import open_source, read_batches

GRID = 28  # of 224x224 images at stride 8


def paths_in(folder: Path, n_most: int | None = None) -> list[Path]:
    """Return the files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())[:n_most]


def images(paths: list[Path], side: int) -> np.ndarray:
    """Return images in [0, 1], (n, 3, side, side) float32."""
    source = open_source(paths, "peers")
    batches = read_batches(source, image_size=(side, side), batch_size=16)
    return np.concatenate([batch.images for batch in batches])


def tile_embeddings(data: Path, n_images: int = 300) -> np.ndarray:
    """Return patch embeddings of magnetic tiles at 224, (n_images, 28, 28, 152)."""
    paths = paths_in(data / "magnetic_tile" / "train" / "good", n_images)
    return embeddings(paths, 8 * GRID)


def embeddings(paths: list[Path], side: int) -> np.ndarray:
    """Return patch embeddings, (n_images, side // 8, side // 8, 152) float32."""
    backbone = Backbone()
    parts = []
    for image in images(paths, side):
        maps = backbone(torch.from_numpy(image[None]))
        parts.append(patch_embeddings(maps, "concat").numpy())
    return np.concatenate(parts)


def widened(embeddings: np.ndarray, n_features: int) -> np.ndarray:
    """Join each patch with its neighbours, the nearest first, to so many features."""
    n, height, width, own = embeddings.shape
    steps = sorted(
        ((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)),
        key=lambda step: (max(map(abs, step)), sum(map(abs, step)), step),
    )
    padded = np.pad(embeddings, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    wide = np.empty((n, height, width, n_features), np.float32)
    for place, (dy, dx) in zip(range(0, n_features, own), steps, strict=False):
        share = wide[..., place : place + own]
        rows, columns = slice(2 + dy, 2 + dy + height), slice(2 + dx, 2 + dx + width)
        share[:] = padded[:, rows, columns, : share.shape[-1]]
    return wide
