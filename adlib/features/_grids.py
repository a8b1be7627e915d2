"""Transformers, which cut images into patches: what sizes of images they take.

timm makes most of them for one size. Another size needs other position embeddings,
which timm interpolates, and has to be a multiple of the patches' size, at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

import torch

from adlib._validation import refusal

Network: TypeAlias = Any  # a timm network; its methods beyond Module's are untyped
Size: TypeAlias = tuple[int, int]

MOST_STEPS = 64  # of the finest stride, in which a side that fits is looked for


def settings_of(name: str) -> dict[str, Any]:
    """Return what timm has to be told so that a network takes more than one size."""
    # Swin's windows then keep the size that they were trained with, and are padded, as
    # its authors do for detection; timm's other way stretches them with the image.
    return {"strict_img_size": False} if name.startswith("swin") else {}


def has_one_stride(network: Network) -> bool:
    """Return whether all stages have one stride, as those of a plain ViT."""
    return len({info["reduction"] for info in network.feature_info}) == 1


def is_made_for_one_size(network: Network) -> bool:
    """Return whether a network takes one size of images, which ``resize`` changes."""
    patches = getattr(network, "patch_embed", None)
    strict: bool = getattr(patches, "strict_img_size", True)
    # Some interpolate their position embeddings anew for each image, which runtimes do
    # each in their own way: so they are interpolated once, by torch.
    strict = strict or getattr(network, "pos_embed", None) is not None
    return hasattr(network, "set_input_size") and strict


def resize(network: Network, size: Size | None) -> Size | None:
    """Make a network for images of another size; return the one that it is made for.

    None stands for its own size, and is returned for a network that takes any.
    """
    if not is_made_for_one_size(network):
        return None
    own = own_size(network)
    if size not in (None, own):
        network.set_input_size(img_size=size)
    return size or own


def own_size(network: Network) -> Size:
    """Return the (height, width) that a network was trained with."""
    _, height, width = network.pretrained_cfg["input_size"]
    return height, width


def is_restricted(network: Network) -> bool:
    """Return whether a network may refuse sizes of images."""
    fixed: bool = network.pretrained_cfg.get("fixed_input_size", False)
    names = (name for name, _ in network.named_modules())
    return fixed or any(name.endswith("patch_embed") for name in names)


def check_size(network: Network, name: str, size: Size) -> None:
    """Raise unless a network takes images of a size, and name sizes near it.

    The network must be on "meta", where torch follows shapes and computes nothing; its
    own size is another one after that.
    """
    own = own_size(network)
    # Some cannot be followed on "meta" at any size: they raise when they run.
    if _takes(network, size) or not _takes(network, own):
        return
    step = min(info["reduction"] for info in network.feature_info)
    near = []
    for side in dict.fromkeys(size):
        if not _takes(network, (side, side)):
            below = range(side - side % step, 0, -step)
            above = range(side - side % step + step, side + MOST_STEPS * step, step)
            found = [*_first(network, below), *_first(network, above)]
            if found:
                near.append(f"{' and '.join(map(str, found))} for {side}")
    remedy = f"It takes {own[0]} x {own[1]} alone."
    if near:
        remedy = f"Near sides that it takes: {', '.join(near)}."
    rule, came = f"a size that {name} takes", f"{size[0]} x {size[1]}"
    raise ValueError(refusal("image_size", "Backbone", rule, came, remedy))


def _first(network: Network, sides: range) -> Iterator[int]:
    """Yield the first of some sides that a network takes, if there is one."""
    near = sides[:MOST_STEPS]
    return islice((side for side in near if _takes(network, (side, side))), 1)


def _takes(network: Network, size: Size) -> bool:
    last = network.feature_info[-1]
    sides = (size[0] % last["reduction"], size[1] % last["reduction"])
    if is_made_for_one_size(network) and has_one_stride(network) and any(sides):
        return False  # timm would drop what is left of the image beside whole patches
    index = len(network.feature_info) - 1
    try:
        resize(network, size)
        with torch.inference_mode(), torch.device("meta"):
            (stage,) = network.forward_intermediates(
                torch.zeros(1, 3, *size), indices=[index], intermediates_only=True
            )
    except Exception:  # timm's networks raise many kinds
        return False
    return bool(stage.shape[:-2] == (1, last["num_chs"]))
