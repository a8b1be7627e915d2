"""Run a backbone with torch, on a CPU or a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from adlib.features._backbone import Precision


class TorchRuntime:
    """A network that maps images to a tuple of feature maps, moved to a device."""

    def __init__(self, network: nn.Module, device: str, precision: Precision) -> None:
        self._on_gpu = device != "cpu"
        self._dtype: torch.dtype = getattr(torch, precision)  # has the same name there
        # Weights are rounded once: on a CPU faster than autocast, which rounds them at
        # every image, and the same bits.
        self._network = network.to(device=device, dtype=self._dtype)
        self._network.to(memory_format=torch.channels_last)

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return one map a stage, float32, of normalised images on the device."""
        images = images.to(self._dtype, memory_format=torch.channels_last)
        # On a CPU the activations of one image stay in its caches: twice as fast as
        # batches of 16, and what an image gives cannot depend on its batch.
        parts = images[None] if self._on_gpu else images[:, None]
        flags: AbstractContextManager[None] = nullcontext()
        if self._on_gpu:  # where torch rounds to TF32 unless told not to
            flags = torch.backends.cudnn.flags(
                enabled=True, deterministic=True, allow_tf32=False
            )
        with flags:
            maps = [self._network(part) for part in parts]
        return [torch.cat(stage).float() for stage in zip(*maps, strict=True)]


def send(images: torch.Tensor, device: str) -> torch.Tensor:
    """Return images on a device, channels last.

    A GPU takes them from page-locked memory while this thread goes on.
    """
    if device != "cpu" and images.device.type == "cpu":
        images = images.pin_memory()
    return images.to(device, memory_format=torch.channels_last, non_blocking=True)
