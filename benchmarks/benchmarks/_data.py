"""What the suites measure on: images, their patch embeddings, and how large."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from adlib.features import Backbone, patch_embeddings
from adlib.images import open_source, read_batches

LARGE = os.environ.get("ADLIB_BENCH") == "large"
IMAGES = os.environ.get("ADLIB_BENCH_IMAGES")  # a folder of real images
SIDE = 224 if LARGE else 128
N_IMAGES = 300 if LARGE else 24
RATIOS = [0.01, 0.05, 0.1]


@lru_cache(maxsize=1)
def images() -> list:
    """Return images: real ones from ADLIB_BENCH_IMAGES, else seeded textures."""
    if IMAGES:
        paths = sorted(path for path in Path(IMAGES).rglob("*") if path.is_file())
        return [str(path) for path in paths[:N_IMAGES]]
    return [_texture(seed) for seed in range(N_IMAGES)]


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


def _texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (24, 24), dtype=np.uint8))
    plane = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 12, plane.shape)
    return np.clip(plane + noise, 0, 255).astype(np.uint8)
