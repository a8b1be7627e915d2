"""From images to the features of each patch that a detector looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Int64Array
from adlib.features._backbone import Backbone
from adlib.features._embedding import Embedding, patch_embeddings


@dataclass(frozen=True)
class Embedder:
    """Turns images into patch embeddings, some of their features, or projections.

    Attributes:
        backbone: The frozen network.
        embedding: How stages become patch embeddings; see ``patch_embeddings``.
        kept: Which features are kept, ascending, (n_kept,); None keeps all.
        directions: What they are projected to, (n_features, n_directions); None leaves
            them as they are.

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
        if self.kept is None:
            embeddings = patch_embeddings(maps, self.embedding)
        elif self.embedding == "paper":
            embeddings = patch_embeddings(maps, self.embedding)
            embeddings = embeddings[..., self._on(embeddings, self.kept)]
        else:  # features are channels: those that are not kept need no pooling
            embeddings = patch_embeddings(self._thinned(maps), self.embedding)
        if self.directions is None:
            return embeddings
        return embeddings @ self._on(embeddings, self.directions)

    def _thinned(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the kept channels of each stage, perhaps none."""
        thinned, first = [], 0
        for stage in maps:
            last = first + stage.shape[1]
            assert self.kept is not None
            own = self.kept[(first <= self.kept) & (self.kept < last)] - first
            whole = len(own) == stage.shape[1]
            thinned.append(stage if whole else stage[:, self._on(stage, own)])
            first = last
        return thinned

    @staticmethod
    def _on(tensor: torch.Tensor, array: Float32Array | Int64Array) -> torch.Tensor:
        return torch.from_numpy(array).to(tensor.device)
