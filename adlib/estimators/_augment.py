"""Turned, mirrored and lit copies of training images, for the memory bank alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch.nn import functional as F

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_option, describe, refusal
from adlib.estimators._patches import Embed, Points
from adlib.estimators._results import Inside

Augmentation: TypeAlias = Literal["flips", "quarter_turns", "rotations", "light"]
ANGLES = (-10.0, -5.0, 5.0, 10.0)  # degrees
LIGHTS = (0.8, 1.25)  # factors


class Copy(NamedTuple):
    """How a copy differs from its image: mirrored, then turned, rotated and lit."""

    mirrored: bool = False
    turns: int = 0  # quarters, counter-clockwise
    angle: float = 0.0  # degrees, counter-clockwise
    light: float = 1.0  # factor

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """Return the copies of images, (n, 3, height, width) float32 in [0, 1]."""
        moved = self.move(images, "bilinear")
        return moved if self.light == 1.0 else (moved * self.light).clamp(0.0, 1.0)

    def move(
        self, images: torch.Tensor, mode: Literal["bilinear", "nearest"]
    ) -> torch.Tensor:
        """Return images moved as the copy is, (n, channels, height, width) float32."""
        if self.mirrored:
            images = images.flip(3)
        if self.turns:
            images = images.rot90(self.turns, (2, 3))
        if not self.angle:
            return images
        height, width = images.shape[2:]
        cosine = math.cos(math.radians(self.angle))
        sine = math.sin(math.radians(self.angle))
        turn = [[cosine, -sine * height / width, 0], [sine * width / height, cosine, 0]]
        theta = torch.tensor([turn], dtype=torch.float32, device=images.device)
        places = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
        return F.grid_sample(
            images,
            places.expand(len(images), -1, -1, -1),
            mode=mode,
            padding_mode="reflection",
            align_corners=False,
        )


@dataclass(frozen=True)
class WithCopies:
    """Embeds images and their copies, whose grids follow the image's along the rows."""

    embedder: Embed
    copies: tuple[Copy, ...]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, (1 + n_copies) * grid_height, grid_width, n_features)."""
        parts = [self.embedder(images)]
        parts += [self.embedder(copy.of(images)) for copy in self.copies]
        return torch.cat(parts, dim=1)

    def inside(self, share: Float32Array, grid: tuple[int, int]) -> Inside:
        """Return ``Inside.of`` for images with their copies, which it turns, too."""
        own = (grid[0] // (1 + len(self.copies)), grid[1])
        inside = Inside.of(share, own)
        patches = inside.patches.ravel()[_places(own, self.copies)]
        return replace(inside, patches=patches.reshape(grid))


def check_augment(value: object, owner: str) -> None:
    """Raise unless ``value`` is None or names copies, each once."""
    if value is None:
        return
    names = get_args(Augmentation)
    rule = f"None or a tuple of {', '.join(map(repr, names))}, each at most once"
    if not isinstance(value, Sequence) or isinstance(value, str):
        remedy = f"Pass augment=({value!r},)." if value in names else ""
        raise TypeError(refusal("augment", owner, rule, describe(value), remedy))
    for name in value:
        check_option(name, "augment", owner, names)
    if not value or len(set(value)) < len(value):
        raise ValueError(refusal("augment", owner, rule, describe(value)))


def copies_of(
    augment: Sequence[Augmentation] | None, image_size: tuple[int, int]
) -> tuple[Copy, ...]:
    """Return the copies that checked names mean, without the image itself."""
    names = augment or ()
    turns = [0]
    if "quarter_turns" in names:
        turns = [0, 1, 2, 3] if image_size[0] == image_size[1] else [0, 2]
    elif "flips" in names:
        turns = [0, 2]
    sides = [False, True] if "flips" in names else [False]
    copies = [Copy(side, turn) for side in sides for turn in turns][1:]
    if "rotations" in names:
        copies += [Copy(angle=angle) for angle in ANGLES]
    if "light" in names:
        copies += [Copy(light=light) for light in LIGHTS]
    return tuple(copies)


def own_patches(points: Points, copies: tuple[Copy, ...]) -> tuple[Points, int]:
    """Return points numbered as the images' own patches, and how many these are.

    A patch of a copy gets the number of the one that it shows, after a rotation the
    nearest. ``points`` are what ``WithCopies`` gave.
    """
    if not copies:
        return points, len(points.embeddings)
    grid = (points.grid[0] // (1 + len(copies)), points.grid[1])
    places = _places(grid, copies)
    numbers = points.numbers
    if numbers is None:
        numbers = np.arange(len(points.embeddings))
    image, patch = np.divmod(numbers, len(places))
    n_patches = grid[0] * grid[1]
    numbers = image * n_patches + places[patch]
    own = points._replace(grid=grid, numbers=numbers)
    return own, int((patch < n_patches).sum())


@lru_cache(maxsize=8)
@undisturbed()
def _places(grid: tuple[int, int], copies: tuple[Copy, ...]) -> Int64Array:
    """Return which patch of an image each of its patches and its copies' shows."""
    n_patches = grid[0] * grid[1]
    flat = torch.arange(n_patches, dtype=torch.float32, device="cpu")
    own = flat.reshape(1, 1, *grid)
    shown = [own, *(copy.move(own, "nearest") for copy in copies)]
    return np.concatenate([one.numpy().ravel() for one in shown]).astype(np.int64)
