"""Run a backbone with torch on a CPU or a GPU, or with OpenVINO on a CPU."""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from adlib._threads import Threads, available_threads

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


class OpenVinoRuntime:
    """A network, on the CPU in float32, compiled once for each size of images.

    In a thread that torch uses alone (``lone_threads``) OpenVINO computes on one, too,
    for as many images at once as there are such threads; else one image on all threads.
    """

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self._network = network
        self._hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        self._core = import_openvino().Core()
        self._compiled: dict[tuple[int, int, int], Any] = {}
        self._lock = Lock()
        if precision == "bfloat16":
            check_bfloat16()

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return one map a stage, float32, of normalised images on the CPU."""
        height, width = images.shape[-2:]
        request = self._compile(height, width).create_infer_request()
        pixels = images.contiguous().numpy()
        maps = [
            images.new_empty((len(images), *output.shape[1:]))
            for output in request.model_outputs
        ]
        for i in range(len(pixels)):
            request.infer([pixels[i : i + 1]], share_inputs=True)
            for stage, output in zip(maps, request.output_tensors, strict=True):
                stage[i] = torch.from_numpy(output.data[0])
        return maps

    def _compile(self, height: int, width: int) -> Any:
        """Return the compiled network for images of this size, made when first met."""
        n_threads = available_threads()
        n_streams = n_threads if torch.get_num_threads() == 1 else 1
        with self._lock:  # threads may score one model
            if (height, width, n_streams) not in self._compiled:
                # In a thread of its own: a dispatch mode of the caller's would silently
                # change the traced network.
                with Threads(1) as pool:
                    shape = (1, 3, height, width)
                    model = pool.submit(_convert, self._network, shape).result()
                self._compiled[height, width, n_streams] = self._core.compile_model(
                    model,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": self._hint,
                        "INFERENCE_NUM_THREADS": n_threads,
                        "NUM_STREAMS": n_streams,
                        # Decoding and searching use the same cores in turn.
                        "ENABLE_CPU_PINNING": False,
                    },
                )
            return self._compiled[height, width, n_streams]


def check_bfloat16() -> None:
    """Raise ValueError where OpenVINO would silently compute in float32 instead."""
    abilities = (
        import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    )
    if "BF16" not in abilities:
        raise ValueError(
            'precision="bfloat16" with runtime="openvino" needs a processor with '
            f"bfloat16 instructions; this one has {', '.join(abilities)}. "
            'Pass precision="float32".'
        )


def _convert(network: nn.Module, shape: tuple[int, int, int, int]) -> Any:
    """Return OpenVINO's model of a network for images of one shape."""
    openvino = import_openvino()
    example = torch.zeros(shape, dtype=torch.float32, device="cpu")
    with warnings.catch_warnings():
        # OpenVINO traces with torch.jit, which torch means to retire; and the shape is
        # fixed, so what Python decides by it while tracing holds for every image.
        warnings.filterwarnings("ignore", r"`?torch\.jit\.")
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return openvino.convert_model(network, example_input=example, input=[shape])


def import_openvino() -> Any:
    """Return openvino, or raise ImportError with the extra that brings it.

    Its telemetry package reports imports and conversions to its makers unless someone
    opted out on this machine. Here openvino does not find it, and uses a stand-in of
    its own, unless others imported it before.
    """
    telemetry = "openvino_telemetry"
    hidden = telemetry not in sys.modules
    if hidden:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino  # noqa: PLC0415 - optional and heavy
    except ImportError as error:
        raise ImportError(
            'runtime="openvino" needs openvino, which cannot be imported '
            f"({error}). Run: pip install 'adlib-vision[openvino]'"
        ) from error
    finally:
        if hidden:
            del sys.modules[telemetry]
    return openvino
