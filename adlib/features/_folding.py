"""Fold batch norms into the convolutions before them: the same network, less work.

torch offers the arithmetic, ``fuse_conv_bn_eval``, but for networks such as timm's,
whose batch norms may hold their activation, not the search for the pairs: which norm
reads which convolution is a matter of the data flow, not of the modules' order.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

# Others may do more with their parameters than the names say, and stay as they are.
CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
NORMS = (nn.BatchNorm2d, BatchNormAct2d)

# By name and modules. To find the pairs takes half the time of making a backbone.
_known_pairs: dict[Hashable, list[tuple[str, str]]] = {}


def folded(
    network: nn.Module, name: Hashable, image_size: tuple[int, int]
) -> nn.Module:
    """Return a copy of a network in evaluation mode, norms folded where that is exact.

    A norm is folded if it reads nothing but the output of one convolution, nothing
    else reads that output, and both run once. The pairs are found with images of one
    size, (height, width), and hold for every other, and for every network of the same
    name and modules.
    """
    if not any(type(module) in NORMS for module in network.modules()):
        return copy.deepcopy(network)
    key = name, tuple((path, type(one)) for path, one in network.named_modules())
    if key not in _known_pairs:
        # On "meta" torch follows the shapes through the network and computes nothing.
        shapes = copy.deepcopy(network).to("meta")
        _known_pairs[key] = list(_pairs(shapes, image_size))
    copied = copy.deepcopy(network)
    for name_of_convolution, name_of_norm in _known_pairs[key]:
        convolution = copied.get_submodule(name_of_convolution)
        norm = copied.get_submodule(name_of_norm)
        fused = fuse_conv_bn_eval(convolution, norm)  # type: ignore[type-var, arg-type]
        _replace(copied, name_of_convolution, fused)
        rest: nn.Module = nn.Identity()  # what the norm does besides norming
        if isinstance(norm, BatchNormAct2d):
            rest = nn.Sequential(norm.drop, norm.act).eval()
        _replace(copied, name_of_norm, rest)
    return copied.requires_grad_(False)


class _Watch(TorchFunctionMode):
    """Note what convolutions give, what batch norms read, and who else reads."""

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}  # by the id of what they gave
        # The running mean of each batch norm that ran, and the tensor that it read.
        self.normings: list[tuple[torch.Tensor | None, torch.Tensor]] = []
        self.n_readers: Counter[int] = Counter()
        self._alive: list[torch.Tensor] = []  # an id is a tensor's while it lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        made = list(_tensors(result))
        if made:  # asking a tensor for its shape does not read it
            self.n_readers.update({id(t) for t in _tensors((args, given))})
            self._alive.extend(made)
        if func is F.conv2d:
            self.weights[id(result)] = args[1] if len(args) > 1 else given["weight"]
        if func is F.batch_norm:
            read = args[0] if args else given["input"]
            mean = args[1] if len(args) > 1 else given["running_mean"]
            self.normings.append((mean, read))
        return result


def _pairs(
    network: nn.Module, image_size: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution and the norm to fold into it."""
    image = next(network.parameters()).new_zeros(1, 3, *image_size)
    with torch.inference_mode(), _Watch() as watch:
        returned = {id(stage) for stage in network(image)}
    convolutions = {
        id(module.weight): name
        for name, module in network.named_modules()
        if type(module) in CONVOLUTIONS
    }
    norms = {
        id(module.running_mean): name
        for name, module in network.named_modules()
        if type(module) in NORMS and module.running_mean is not None
    }
    n_runs = Counter(id(weight) for weight in watch.weights.values())
    n_normings = Counter(id(mean) for mean, _ in watch.normings)
    for mean, read in watch.normings:
        weight = watch.weights.get(id(read))
        if (
            id(weight) in convolutions
            and id(mean) in norms
            and n_runs[id(weight)] == n_normings[id(mean)] == 1
            and watch.n_readers[id(read)] == 1
            and id(read) not in returned
        ):
            yield convolutions[id(weight)], norms[id(mean)]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of nested tuples, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for entry in value:
            yield from _tensors(entry)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
