"""anomalib's networks with the weights, stages and images that adlib uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from torchvision.transforms.v2 import Normalize

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


def export_patchcore(
    model: PatchcoreModel, side: int, folder: Path
) -> tuple[Path, Path]:
    """Export the model by anomalib's own ways to OpenVINO and ONNX; return both paths.

    Each takes one image a call, (1, 3, side, side), and normalises it itself.
    """
    # Part of anomalib's extra ``openvino``; training needs none of it.
    from anomalib.models import Patchcore
    from anomalib.pre_processing import PreProcessor

    mean, std = Backbone().normalisation
    whole = Patchcore(
        backbone="tf_efficientnet_lite0",
        layers=LAYERS,
        pre_trained=False,
        pre_processor=PreProcessor(transform=Normalize(mean=mean, std=std)),
        post_processor=False,
        evaluator=False,
        visualizer=False,
    )
    whole.model = model
    whole.eval()
    # Without dynamic shapes, since a batch axis meant to be free comes out as 2; and
    # opset 18, the lowest that torch writes: ONNX cannot convert the padding to 14.
    options = {"dynamic_shapes": None, "opset_version": 18}
    size = (side, side)
    openvino = whole.to_openvino(folder, input_size=size, onnx_kwargs=options)
    return openvino, whole.to_onnx(folder, input_size=size, **options)


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
