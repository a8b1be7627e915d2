"""What the suites measure on: images, their patch embeddings, and how large."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from adlib.features import Backbone, patch_embeddings
from adlib.images import open_source, read_batches
from adlib.neighbors import greedy_coreset
from benchmarks._textures import texture

LARGE = os.environ.get("ADLIB_BENCH") == "large"
IMAGES = os.environ.get("ADLIB_BENCH_IMAGES")  # a folder of real images
SIDE = 224 if LARGE else 128
N_IMAGES = 300 if LARGE else 24
RATIOS = [0.01, 0.05, 0.1]
SIDES = [224, 320, 448] if LARGE else [96, 128, 224]
BATCH_SIZES = [1, 4, 16]
BANKS = [3_000, 12_000, 48_000] if LARGE else [200, 800, 3_200]
POINTS = [29_400, 117_600, 235_200] if LARGE else [1_536, 3_072, 6_144]
DIMENSIONS = [38, 152, 608]  # of the default backbone: 152


@lru_cache(maxsize=1)
def images() -> list:
    """Return images: real ones from ADLIB_BENCH_IMAGES, else seeded textures."""
    if IMAGES:
        paths = sorted(path for path in Path(IMAGES).rglob("*") if path.is_file())
        return [str(path) for path in paths[:N_IMAGES]]
    return [texture(seed, SIDE) for seed in range(N_IMAGES)]


@lru_cache(maxsize=1)
def batch() -> np.ndarray:
    """Return all images decoded and resized, (n, 3, SIDE, SIDE) float32."""
    batches = read_batches(
        open_source(images(), "benchmark"), image_size=(SIDE, SIDE), batch_size=16
    )
    return np.concatenate([part.images for part in batches])


@lru_cache(maxsize=1)
def embeddings() -> np.ndarray:
    """Return the patch embeddings of all images, (n_patches, n_features) float32."""
    import torch

    backbone = Backbone()
    maps = backbone(torch.from_numpy(batch()))
    found = patch_embeddings(maps, "concat").numpy()
    return found.reshape(-1, found.shape[-1])


@lru_cache(maxsize=1)
def turned(n_features: int) -> np.ndarray:
    """Return the patch embeddings in another dimension, (n_patches, n_features).

    A seeded random map keeps about the distances that they have, so that only the
    arithmetic grows with the dimension.
    """
    X = embeddings()
    rng = np.random.default_rng(0)
    directions = rng.normal(0, n_features**-0.5, (X.shape[1], n_features))
    return X @ directions.astype(np.float32)


@lru_cache(maxsize=1)
def bank_rows(size: int) -> np.ndarray:
    """Return the greedy coreset of the patch embeddings, (size, n_features) float32."""
    X = embeddings()
    return X[greedy_coreset(X, size, start=0, device="cpu")]
