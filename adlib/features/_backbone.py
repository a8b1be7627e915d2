"""A frozen network, read at chosen stages and cut off behind the last."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import timm
import torch
from torch import nn

from adlib._device import still_there
from adlib._random import torch_seeded
from adlib._threads import Process, available_threads, undivided
from adlib._torch import as_imported, undisturbed
from adlib._validation import describe, refusal
from adlib.exceptions import WeightsError
from adlib.features._feature_cache import code_fingerprint, current_feature_cache
from adlib.features._folding import folded
from adlib.features._grids import (
    Network,
    Size,
    check_size,
    has_one_stride,
    is_restricted,
    own_size,
    resize,
    settings_of,
)
from adlib.features._runtimes import (
    OpenVinoRuntime,
    TorchRuntime,
    import_openvino,
    send,
)
from adlib.features._tiles import MOST_PIXELS, Cut, by_tiles, plan, reach
from adlib.features._weights import (
    DEFAULT_BACKBONE,
    PACKAGED_NORMALISATION,
    Normalisation,
    Weights,
    packaged_file,
    read_weights,
    rename_like,
    weights_file,
)

Precision: TypeAlias = Literal["float32", "bfloat16"]
Runtime: TypeAlias = Literal["torch", "openvino"]

NAME_RULE = "the name of a timm network (timm.list_models() shows them)"
DEFAULT_STRIDES = (8, 16)  # PatchCore's: layer2 and layer3 of a ResNet


@dataclass(frozen=True)
class Stage:
    """One stage of a backbone: where its feature map comes from and how large it is.

    Attributes:
        index: timm's index of the stage, from 0.
        channels: Channels of its map.
        stride: Pixels of the image from one value of the map to the next.
    """

    index: int
    channels: int
    stride: int


class Backbone:
    """A frozen timm network that turns images into feature maps.

    Args:
        name: Any timm network that gives feature maps, e.g. "wide_resnet50_2.tv_in1k"
            or "vit_small_patch14_dinov2.lvd142m".
        weights: "pretrained" (packaged with pip, else from timm's hub), the path of a
            local state dict, or None for random weights drawn with ``random_state``.
            "PATH#sha256=HEX" refuses a file of another SHA-256.
        stages: timm's stage indices, ascending; None takes those at ``strides`` or,
            where all stages have one stride as in a plain ViT, the last.
        strides: In pixels; used where ``stages`` is None.
        image_size: (height, width) of the images to come; None: a network that is made
            for one size, as ViTs are, keeps the one it was trained with.
        device: "cpu" or "cuda:N"; OpenVINO runs on "cpu" alone.
        precision: "float32", or "bfloat16" for weights and activations, which is faster
            where the processor has instructions for it. Maps are float32 in either.
        runtime: What runs the network: "torch", or "openvino" (extra ``openvino``).
        random_state: Seed of random weights.

    Attributes:
        name: The name as given.
        stages: The stages that are read.
        image_size: The one size of images that the network takes; None: any.
        normalisation: What is subtracted from and divides pixels in [0, 1].

    Raises:
        ValueError: timm has no such network, it has no such stages, or takes no images
            of that size.
        WeightsError: The weights cannot be had or do not fit.
        ImportError: ``runtime`` is "openvino", which is not installed.

    Note:
        What runs is a copy with batch norms folded into convolutions. The network as
        timm knows it stays on the CPU, for ``state``. For another size than the trained
        one, timm interpolates position embeddings; Swin's windows keep theirs. Where
        all stages have one stride, each is read behind the network's final norm, as
        DINOv2's own code does.

    Example:
        >>> import torch
        >>> from adlib.features import Backbone
        >>> backbone = Backbone(weights=None, random_state=0)
        >>> [(stage.channels, stage.stride) for stage in backbone.stages]
        [(40, 8), (112, 16)]
        >>> [tuple(maps.shape) for maps in backbone(torch.zeros(1, 3, 64, 64))]
        [(1, 40, 8, 8), (1, 112, 4, 4)]
    """

    @undivided()
    def __init__(
        self,
        name: str = DEFAULT_BACKBONE,
        *,
        weights: str | Path | None = "pretrained",
        stages: Sequence[int] | None = None,
        strides: Sequence[int] = DEFAULT_STRIDES,
        image_size: Size | None = None,
        device: str = "cpu",
        precision: Precision = "float32",
        runtime: Runtime = "torch",
        random_state: int | None = None,
    ) -> None:
        network, normalisation = _create(name, weights, random_state)
        if image_size is not None and is_restricted(network):
            check_size(_architecture(name, device="meta"), name, image_size)
        self._attach(name, network, normalisation, image_size, stages, strides)
        self._place(device, precision, runtime)

    @classmethod
    @undivided()
    def from_weights(
        cls,
        name: str,
        weights: Weights,
        stages: Sequence[int],
        normalisation: Normalisation,
        device: str,
        precision: Precision = "float32",
        runtime: Runtime = "torch",
        image_size: Size | None = None,
    ) -> Backbone:
        """Rebuild a backbone from what ``state`` gave; nothing is fetched.

        Args:
            name: As the constructor takes it.
            weights: Tensors by timm's names; those of layers behind the last stage may
                be missing.
            stages: timm's stage indices, ascending.
            normalisation: What pixels are normalised by.
            device: As the constructor takes it.
            precision: "float32" or "bfloat16".
            runtime: "torch" or "openvino".
            image_size: (height, width), as the backbone that gave them had it.

        Returns:
            A backbone that gives the same maps.

        Raises:
            ValueError, WeightsError, ImportError: As the constructor does.
        """
        backbone = cls.__new__(cls)
        # Without memory at first: whatever the name, no more is taken than the weights
        # at hand fill, and nothing is drawn at random only to be replaced.
        network = _architecture(name, device="meta")
        if image_size is not None and is_restricted(network):
            check_size(network, name, image_size)
        # Earlier versions left the final norm out, and their files have none.
        normed = any(tensor.startswith("norm.") for tensor in weights)
        given = normalisation, image_size, stages, DEFAULT_STRIDES, normed
        backbone._attach(name, network, *given)
        wanted = backbone._network.state_dict()
        found = rename_like(weights, wanted, "a model file", by_order=False)
        if len(list(network.buffers())) + len(list(network.parameters())) > len(wanted):
            # Some tensors are computed, not kept: the network must be made as usual.
            backbone._attach(name, _architecture(name), *given)
        else:
            network.to_empty(device="cpu")
        backbone._network.load_state_dict(found)
        backbone._place(device, precision, runtime)
        return backbone

    def state(self) -> Weights:
        """Return the tensors of the layers that are kept, on the CPU, as timm's."""
        return {
            name: tensor.detach().contiguous()
            for name, tensor in self._network.state_dict().items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # As a model file does: what runs the network is made again from its weights.
        indices = [stage.index for stage in self.stages]
        given = (self.name, self.state(), indices, self.normalisation)
        how = (self._precision, self._runtime, self.image_size)
        return _again, (given, self.device, *how)

    def network(self) -> nn.Module:
        """Return a copy of what maps normalised images to a tuple of the stages' maps.

        In float32 on the CPU, batch norms folded into convolutions.
        """
        indices = [stage.index for stage in self.stages]
        reader = _StageReader(self._network, indices).eval()
        size = self.image_size or own_size(self._network)
        return folded(reader, (self.name, *indices), size)

    def layers(self) -> list[str]:
        """Return the names by which timm knows the modules that end the stages."""
        info = self._network.feature_info
        return [info[stage.index]["module"] for stage in self.stages]

    @undisturbed()
    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Compute the maps of images, or take them from the feature cache.

        Args:
            images: As ``compute`` takes them, (n, 3, height, width) float32.

        Returns:
            What ``compute`` returns, (n, channels, map_height, map_width) float32 each.
        """
        cache = current_feature_cache()
        if cache is None:
            return self.compute(images)
        maps = cache.maps(self.fingerprint, images, self.compute)
        return [send(stage, self.device) for stage in maps]

    @undisturbed()
    def compute(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Compute the maps of images without looking into the feature cache.

        Args:
            images: (n, 3, height, width) float32 RGB in [0, 1], on any device.

        Returns:
            One map a stage, (n, channels, height / stride, width / stride) float32
            where the strides divide the size, on the backbone's device.

        Note:
            Images of more than 1.5 million pixels are computed by tiles that overlap
            by as much as the network sees, in the memory of one; the maps differ from
            those of the whole image by rounding at most. A network whose values depend
            on the whole image (attention, squeeze-and-excitation) takes it whole.

        Raises:
            ValueError: They are of another size than the one that the network takes.
            RuntimeError: The backbone is on a GPU, and this process was forked since.
        """
        size = (images.shape[-2], images.shape[-1])
        if self.image_size not in (None, size):
            rule = "of {} x {} pixels, for which the network was made"
            came, remedy = "{} x {}".format(*size), f"Pass image_size={size} to it."
            rule = rule.format(*self.image_size)
            raise ValueError(refusal("images", "Backbone", rule, came, remedy))
        if self.device != "cpu":
            self._process.check()  # in a fork CUDA hangs, or knows no models
        images = send(images, self.device)
        tiles = self._tiles(size)
        if tiles is None:
            return self._run_raw(images)
        strides = [stage.stride for stage in self.stages]
        return by_tiles(self._run_raw, images, strides, tiles)

    def _run_raw(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self._run((images - self._mean) / self._std)

    def _tiles(self, size: tuple[int, int]) -> list[tuple[Cut, Cut]] | None:
        """Return by which tiles images of a size are computed; None: as a whole."""
        if size[0] * size[1] <= MOST_PIXELS or self._reach is None:
            return None
        return plan(size, self._reach, max(stage.stride for stage in self.stages))

    @cached_property
    def _reach(self) -> int | None:
        """How many pixels away a value of a map depends on; None: the whole image."""
        if is_restricted(self._network):
            return None  # where patches and windows lie depends on the image, too
        indices = [stage.index for stage in self.stages]
        strides = [stage.stride for stage in self.stages]
        return reach(_StageReader(self._network, indices).eval(), strides)

    @property
    def fingerprint(self) -> bytes:
        """What changes when the maps of an image could come out otherwise."""
        found = self._own_fingerprint.copy()  # threads may have changed since
        if self.device == "cpu":
            n_threads = (torch.get_num_threads(), available_threads())
            place = f"{torch.backends.cpu.get_cpu_capability()} {n_threads}"
        else:
            self._process.check()
            place = f"{torch.cuda.get_device_name(self.device)} {torch.version.cuda}"
        found.update(place.encode())
        return found.digest()

    @cached_property
    def _own_fingerprint(self) -> hashlib.blake2b:
        """The part of ``fingerprint`` that never changes."""
        way = (self.normalisation, self._precision, self._runtime, platform.machine())
        versions = [torch.__version__, timm.__version__]
        if self._runtime == "openvino":
            versions.append(import_openvino().__version__)
        stated = (self.name, self.stages, way, versions)
        found = hashlib.blake2b(code_fingerprint(), digest_size=20)
        found.update(repr(stated).encode())
        for name, tensor in self.state().items():
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return found

    def _attach(
        self,
        name: str,
        network: Network,
        normalisation: Normalisation,
        image_size: Size | None,
        stages: Sequence[int] | None,
        strides: Sequence[int],
        normed: bool = True,
    ) -> None:
        self.name = name
        self.normalisation = normalisation
        self.stages = _choose_stages(network, name, stages, strides)
        self.image_size = resize(network, image_size)
        network.prune_intermediate_layers(
            [stage.index for stage in self.stages],
            prune_norm=not (normed and has_one_stride(network)),
            prune_head=True,
        )
        network.requires_grad_(False)
        network.eval()
        self._network = network

    def _place(self, device: str, precision: Precision, runtime: Runtime) -> None:
        self.device = device
        remedy = 'Start processes by "spawn", or load the model in each.'
        self._process = Process(f"A model on {device!r}", remedy)
        self._precision, self._runtime = precision, runtime
        ready = self.network()
        self._run: TorchRuntime | OpenVinoRuntime
        if runtime == "openvino":
            self._run = OpenVinoRuntime(ready, precision)
        else:
            self._run = TorchRuntime(ready, device, precision)
        shape = (1, 3, 1, 1)
        with as_imported(device):
            self._mean = torch.tensor(self.normalisation.mean).view(shape)
            self._std = torch.tensor(self.normalisation.std).view(shape)


def _again(
    given: tuple[str, Weights, list[int], Normalisation],
    device: str,
    precision: Precision,
    runtime: Runtime,
    image_size: Size | None,
) -> Backbone:
    """Rebuild a backbone that was copied or pickled, perhaps on another machine."""
    how = still_there(device), precision, runtime, image_size
    return Backbone.from_weights(*given, *how)


class _StageReader(nn.Module):
    """A timm network as a function of images to a tuple of its stages' maps."""

    def __init__(self, network: Network, indices: list[int]) -> None:
        super().__init__()
        self.network = network
        self.indices = indices
        self.norm = has_one_stride(network)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        read = self.network.forward_intermediates
        given = {"indices": self.indices, "norm": self.norm}
        return tuple(read(images, **given, intermediates_only=True))


def _create(
    name: str, weights: str | Path | None, random_state: int | None
) -> tuple[Network, Normalisation]:
    """Return the whole network with its weights, and its normalisation."""
    network = _architecture(name, random_state)
    packaged = packaged_file(name) if weights == "pretrained" else None
    if weights == "pretrained" and packaged is None:
        network = _from_hub(name)
    elif weights is not None:
        path = packaged or weights_file(weights)
        found = rename_like(
            read_weights(path),
            network.state_dict(),
            str(path),
            by_order=packaged is not None,  # known to hold timm's order
        )
        network.load_state_dict(found)
    if packaged is not None:
        return network, PACKAGED_NORMALISATION
    config = network.pretrained_cfg
    return network, Normalisation(tuple(config["mean"]), tuple(config["std"]))


def _architecture(
    name: str, random_state: int | None = None, device: str = "cpu"
) -> Network:
    """Return the network that timm knows by this name, with random weights."""
    check_name(name, "Backbone")
    try:
        with torch_seeded(random_state), as_imported(device):
            settings = settings_of(name)
            network: Network = timm.create_model(name, pretrained=False, **settings)
    except RuntimeError as error:  # a tag, behind the dot, that timm does not know
        raise ValueError(
            refusal("backbone", "Backbone", NAME_RULE, describe(name), str(error))
        ) from error
    return network


def check_name(name: str, owner: str) -> None:
    """Raise unless timm knows a network by this name."""
    if timm.is_model(name) and ":" not in name:  # a prefix would ask a hub
        return
    near = get_close_matches(name.partition(".")[0], timm.list_models(), n=5)
    remedy = f"Close names: {', '.join(near)}." if near else ""
    raise ValueError(refusal("backbone", owner, NAME_RULE, describe(name), remedy))


def _from_hub(name: str) -> Network:
    try:
        with torch_seeded(None), as_imported():
            settings = settings_of(name)
            network: Network = timm.create_model(name, pretrained=True, **settings)
    except Exception as error:  # the hub's client raises many kinds
        raise WeightsError(
            f"The weights of backbone {name!r} could not be fetched from timm's hub "
            f"({type(error).__name__}: {error}). Pass weights=PATH with a file you "
            f"have, or take the default backbone {DEFAULT_BACKBONE!r}, whose weights "
            "come with pip."
        ) from error
    return network


def _choose_stages(
    network: Network, name: str, indices: Sequence[int] | None, strides: Sequence[int]
) -> tuple[Stage, ...]:
    """Return the stages asked for, by index or, where that is None, by stride."""
    if not hasattr(network, "forward_intermediates"):
        rule = "a network whose stages timm can return (forward_intermediates)"
        raise ValueError(refusal("backbone", "Backbone", rule, describe(name)))
    available = [
        Stage(index, info["num_chs"], info["reduction"])
        for index, info in enumerate(network.feature_info)
    ]
    if indices is None:
        came = f"None, the strides {' and '.join(map(str, strides))}"
        chosen = [stage for stage in available if stage.stride in strides]
        if has_one_stride(network):
            # As AnomalyDINO (Damm et al., WACV 2025) reads DINOv2.
            indices, chosen = [available[-1].index], available[-1:]
    else:
        came = describe(indices)
        chosen = [stage for stage in available if stage.index in indices]
    wanted = strides if indices is None else indices
    if len(chosen) != len(wanted) or not chosen:
        offers = ", ".join(f"{s.index} (stride {s.stride})" for s in available)
        rule = f"different stage indices of {name}, which offers {offers}"
        raise ValueError(refusal("stages", "Backbone", rule, came))
    return tuple(chosen)
