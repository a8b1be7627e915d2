"""Seeded textures; and one part, photographed often, good or with a weak defect."""

from __future__ import annotations

import numpy as np
from PIL import Image

NOISE = 12  # grey levels
STRENGTH = 60  # at the middle of a defect


def texture(seed: int, side: int) -> np.ndarray:
    """Return a texture like no other, (side, side) uint8."""
    rng = np.random.default_rng(seed)
    return _photograph(_coarse(rng), rng, side)


def good_part(seed: int, side: int) -> np.ndarray:
    """Return the part that all seeds share, under another noise, (side, side) uint8."""
    return _photograph(_coarse(np.random.default_rng(0)), _rng(seed), side)


def flawed_part(seed: int, side: int) -> np.ndarray:
    """Return the part with a faint bright spot somewhere, (side, side) uint8."""
    rng = _rng(seed)
    row, column = rng.uniform(0.2, 0.8, 2) * side
    rows, columns = np.ogrid[:side, :side]
    squared = (rows - row) ** 2 + (columns - column) ** 2
    spot = STRENGTH * np.exp(-squared / (side / 12) ** 2)
    return _photograph(_coarse(np.random.default_rng(0)), rng, side, spot)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([1, seed])


def _coarse(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(40, 215, (24, 24), dtype=np.uint8))


def _photograph(coarse, rng, side, spot=0.0) -> np.ndarray:
    plane = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    noisy = plane + spot + rng.normal(0, NOISE, plane.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
