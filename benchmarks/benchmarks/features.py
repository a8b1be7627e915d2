"""Decoding, the backbone and patch embeddings."""

from __future__ import annotations

import torch

from adlib.features import Backbone, patch_embeddings
from benchmarks._data import batch


class Features:
    """Turning decoded images into patch embeddings."""

    params = [[1, 16], ["concat", "paper"]]
    param_names = ["n_images", "embedding"]

    def setup(self, n_images, embedding):
        self.backbone = Backbone()
        self.images = torch.from_numpy(batch()[:n_images])
        self.time_embed(n_images, embedding)  # warm up

    def time_embed(self, n_images, embedding):
        patch_embeddings(self.backbone(self.images), embedding)

    def peakmem_embed(self, n_images, embedding):
        patch_embeddings(self.backbone(self.images), embedding)
