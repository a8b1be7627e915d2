"""anomalib's PatchCore network with the weights, stages and images that adlib uses."""

from __future__ import annotations

import numpy as np
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

from adlib.features import Backbone

LAYERS = ("blocks.2", "blocks.4")  # strides 8 and 16 of EfficientNet-Lite0


def patchcore_model(bank: np.ndarray, n_neighbors: int = 1) -> PatchcoreModel:
    """Return anomalib's model with a memory bank, ready to score."""
    model = PatchcoreModel(
        layers=LAYERS,
        backbone="tf_efficientnet_lite0",
        pre_trained=False,
        num_neighbors=n_neighbors,
    )
    network = model.feature_extractor.feature_extractor
    # adlib keeps the layers up to the last stage; anomalib's network holds more.
    known = Backbone().state()
    _, unexpected = network.load_state_dict(known, strict=False)
    assert not unexpected, unexpected
    model.memory_bank = torch.from_numpy(bank)
    return model.eval()


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return images as adlib's backbone normalises them."""
    normalisation = Backbone().normalisation
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation)
    return ((images - mean) / std).contiguous()
