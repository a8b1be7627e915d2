"""anomalib's networks with the weights, stages and images that adlib uses."""

from __future__ import annotations

import numpy as np
import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

from adlib.features import Backbone

LAYERS = ("blocks.2", "blocks.4")  # strides 8 and 16 of EfficientNet-Lite0
PADIM_LAYERS = ["blocks.1", *LAYERS]  # and stride 4
PADIM_STAGES = (1, 2, 3)  # the same, as timm counts them


def patchcore_model(bank: np.ndarray, n_neighbors: int = 1) -> PatchcoreModel:
    """Return anomalib's model with a memory bank, ready to score."""
    model = PatchcoreModel(
        layers=LAYERS,
        backbone="tf_efficientnet_lite0",
        pre_trained=False,
        num_neighbors=n_neighbors,
    )
    _give_weights(model)
    model.memory_bank = torch.from_numpy(bank)
    return model.eval()


def padim_model(channels: np.ndarray, sigma: float) -> PadimModel:
    """Return anomalib's model with these channels and this blur, ready to learn."""
    model = PadimModel(
        backbone="tf_efficientnet_lite0",
        layers=PADIM_LAYERS,
        pre_trained=False,
        n_features=len(channels),
    )
    _give_weights(model)
    model.idx = torch.from_numpy(channels)
    model.anomaly_map_generator = type(model.anomaly_map_generator)(sigma)
    return model.eval()


def _give_weights(model) -> None:
    # adlib keeps the layers up to the last stage; anomalib's network holds more.
    known = Backbone().state()
    _, unexpected = model.feature_extractor.feature_extractor.load_state_dict(
        known, strict=False
    )
    assert not unexpected, unexpected


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return images as adlib's backbone normalises them."""
    normalisation = Backbone().normalisation
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation)
    return ((images - mean) / std).contiguous()
