"""The backbone in each runtime and precision, and patch embeddings."""

from __future__ import annotations

from typing import get_args

import torch
from torch.nn import functional as F

from adlib.features import Backbone, patch_embeddings
from adlib.features._backbone import Precision, Runtime
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


class Runtimes:
    """The backbone alone."""

    params = [list(get_args(Runtime)), list(get_args(Precision)), [1, 16], [224, 320]]
    param_names = ["runtime", "precision", "n_images", "side"]

    def setup(self, runtime, precision, n_images, side):
        try:
            self.backbone = Backbone(runtime=runtime, precision=precision)
        except (ImportError, ValueError) as error:  # absent, or no bfloat16 here
            raise NotImplementedError(str(error)) from error
        images = torch.from_numpy(batch()[:n_images])
        self.images = F.interpolate(images, (side, side))
        self.backbone(self.images)  # compile and warm up

    def time_maps(self, runtime, precision, n_images, side):
        self.backbone(self.images)
