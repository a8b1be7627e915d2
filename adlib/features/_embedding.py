"""From images and feature maps to patch embeddings: what each patch looks like.

Every form brings the stages to the first one's grid and puts them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Literal, TypeAlias

import torch
from torch.nn import functional as F

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Int64Array
from adlib.features._backbone import Backbone

Embedding: TypeAlias = Literal["concat", "paper", "nearest"]
PAPER_FEATURES = 1024


@dataclass(frozen=True)
class Embedder:
    """Turns images into patch embeddings, some of their features, or projections.

    Attributes:
        backbone: The frozen network.
        embedding: How stages become patch embeddings; see ``patch_embeddings``.
        kept: Which features are kept, ascending, (n_kept,); None: all.
        directions: What they are projected to, (n_features, n_directions), or None.

    Example:
        >>> import torch
        >>> from adlib.features import Backbone, Embedder
        >>> embedder = Embedder(Backbone(weights=None, random_state=0), "concat")
        >>> tuple(embedder(torch.zeros(1, 3, 64, 64)).shape)
        (1, 8, 8, 152)
    """

    backbone: Backbone
    embedding: Embedding
    kept: Int64Array | None = None
    directions: Float32Array | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Turn images into patch embeddings.

        Args:
            images: (n, 3, height, width) float32 RGB in [0, 1].

        Returns:
            (n, grid_height, grid_width, n_features) float32, on the backbone's device.
        """
        return self.embed(self.backbone(images))

    @undisturbed()
    def embed(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn the backbone's maps into embeddings, without running the backbone.

        Args:
            maps: One map a stage, (n, channels, height, width) float32, largest first.

        Returns:
            (n, grid_height, grid_width, n_features) float32, on the device of the maps;
            n_features is that of ``kept`` or, where there are any, of ``directions``.
        """
        device = maps[0].device
        if self.kept is not None and self.embedding != "paper":
            # Features are channels: those that are not kept need no pooling.
            maps = _thinned(maps, self.kept)
        embeddings = patch_embeddings(maps, self.embedding)
        if self.kept is not None and self.embedding == "paper":
            embeddings = embeddings[..., torch.from_numpy(self.kept).to(device)]
        if self.directions is None:
            return embeddings
        return embeddings @ torch.from_numpy(self.directions).to(device)


def _thinned(maps: Sequence[torch.Tensor], kept: Int64Array) -> list[torch.Tensor]:
    """Return the kept channels of each stage, perhaps none."""
    thinned, first = [], 0
    for stage in maps:
        own = kept[(first <= kept) & (kept < first + stage.shape[1])] - first
        whole, channels = len(own) == stage.shape[1], torch.from_numpy(own)
        thinned.append(stage if whole else stage[:, channels.to(stage.device)])
        first += stage.shape[1]
    return thinned


def embedding_length(embedding: Embedding, channels: Sequence[int]) -> int:
    """Return how many features an embedding of stages of so many channels has."""
    return PAPER_FEATURES if embedding == "paper" else sum(channels)


@undisturbed()
def patch_embeddings(
    maps: Sequence[torch.Tensor], embedding: Embedding
) -> torch.Tensor:
    """Return the patch embeddings of feature maps.

    Args:
        maps: One map a stage, (n, channels, height, width) float32, largest first.
        embedding: "concat" puts the 3x3 means of the stages, upsampled bilinearly, side
            by side (zero padding counts, as in PatchCore's code): as many features as
            they have channels. "paper" pools each stage's 3x3 neighbourhoods to 1024
            features and all stages together to 1024, as PatchCore's code does.
            "nearest" repeats the values of coarser stages and looks at no
            neighbourhood, as PaDiM's paper does.

    Returns:
        (n, grid_height, grid_width, n_features) float32, contiguous; the grid is that
        of the first map.

    References:
        1. Roth et al., "Towards total recall in industrial anomaly detection", CVPR
           2022, section 3.1, and its code,
           github.com/amazon-science/patchcore-inspection.
        2. Defard et al., "PaDiM", ICPR 2021, section III.A.

    Example:
        >>> import torch
        >>> from adlib.features import patch_embeddings
        >>> maps = [torch.ones(1, 2, 8, 8), torch.ones(1, 3, 4, 4)]
        >>> tuple(patch_embeddings(maps, "nearest").shape)
        (1, 8, 8, 5)
    """
    grid = maps[0].shape[-2:]
    used = [stage for stage in maps if stage.shape[1]]
    if embedding == "paper":
        joined = _paper_embedding(maps, grid)
    elif embedding == "concat":
        means = [F.avg_pool2d(stage, 3, stride=1, padding=1) for stage in used]
        joined = torch.cat([_upsample(mean, grid) for mean in means], dim=1)
    else:
        joined = torch.cat([F.interpolate(stage, grid) for stage in used], dim=1)
    return joined.permute(0, 2, 3, 1).contiguous()


def _upsample(stage: torch.Tensor, grid: torch.Size) -> torch.Tensor:
    if stage.shape[-2:] == grid:
        return stage
    return F.interpolate(stage, grid, mode="bilinear", align_corners=False)


def _paper_embedding(maps: Sequence[torch.Tensor], grid: torch.Size) -> torch.Tensor:
    """Pool neighbourhoods as the paper's code does, without unfolding them."""
    # The code unfolds every patch to channels x 3 x 3 values, upsamples those, averages
    # them in 1024 windows, and the joined stages in 1024 windows again. All of it is
    # linear, and upsampling acts on positions, the windows on values: so a stage's
    # share is one 3x3 convolution whose weights are the windows, upsampled after.
    first = maps[0]
    # Not by len, a number that export would take for every batch.
    joined = first.new_zeros((first.shape[0], PAPER_FEATURES, *grid))
    for position, stage in enumerate(maps):
        channels = stage.shape[1]
        rows, groups, weights = _windows(channels, position, len(maps))
        share = F.conv2d(
            stage, weights.to(stage.device), stride=1, padding=1, groups=groups
        )
        joined[:, rows] += _upsample(share, grid)
    return joined


@lru_cache(maxsize=8)
def _windows(
    channels: int, position: int, n_stages: int
) -> tuple[slice, int, torch.Tensor]:
    """Return which features a stage feeds, in how many groups, with which weights.

    Where 1024 divides evenly among the stages, every feature depends on a few
    neighbouring channels only, and the convolution splits into groups.
    """
    per_stage = _pooling(9 * channels, PAPER_FEATURES)
    joined = _pooling(n_stages * PAPER_FEATURES, PAPER_FEATURES)
    first = position * PAPER_FEATURES
    share = joined[:, first : first + PAPER_FEATURES]
    fed = torch.nonzero(share.sum(dim=1)).flatten()
    rows = slice(int(fed[0]), int(fed[-1]) + 1)
    weights = share[rows] @ per_stage
    n_rows = rows.stop - rows.start
    groups = gcd(n_rows, channels) if PAPER_FEATURES % n_stages == 0 else 1
    by_group = weights.view(groups, n_rows // groups, groups, -1)
    own = torch.stack([by_group[group, :, group] for group in range(groups)])
    return rows, groups, own.reshape(n_rows, channels // groups, 3, 3)


def _pooling(n_in: int, n_out: int) -> torch.Tensor:
    """Return adaptive average pooling from ``n_in`` to ``n_out`` values as a matrix."""
    matrix = torch.zeros(n_out, n_in, dtype=torch.float32, device="cpu")
    for row in range(n_out):
        first, last = row * n_in // n_out, -(-(row + 1) * n_in // n_out)
        matrix[row, first:last] = 1.0 / (last - first)
    return matrix
