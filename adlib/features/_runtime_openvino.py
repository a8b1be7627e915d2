"""Run a backbone on a CPU with OpenVINO (extra ``openvino``)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from adlib._threads import Threads, available_threads

if TYPE_CHECKING:
    from adlib.features._backbone import Precision

TELEMETRY = "openvino_telemetry"
HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRuntime:
    """A network compiled by OpenVINO, once for each size of images.

    Args:
        network: Maps images to a tuple of feature maps; on the CPU, in float32.
        precision: What OpenVINO computes in; maps are float32 in either.

    Raises:
        ImportError: openvino is not installed.
        ValueError: The processor has no instructions for bfloat16.

    Note:
        In a thread that torch uses alone (see ``lone_threads``) OpenVINO computes on
        one thread, too, for as many images at once as there are such threads; in others
        on all threads, so that the latency of one image is low.
    """

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self._network = network
        self._precision = precision
        self._core = _import_openvino().Core()
        self._compiled: dict[tuple[int, int, int], Any] = {}
        self._lock = Lock()
        abilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and "BF16" not in abilities:
            raise ValueError(
                'precision="bfloat16" with runtime="openvino" needs a processor with '
                f"bfloat16 instructions; this one has {', '.join(abilities)}. "
                'Pass precision="float32".'
            )

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return one map a stage, (n, channels, height, width) float32.

        Args:
            images: (n, 3, height, width) float32, normalised, on the CPU.
        """
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
                        "INFERENCE_PRECISION_HINT": HINTS[self._precision],
                        "INFERENCE_NUM_THREADS": n_threads,
                        "NUM_STREAMS": n_streams,
                        # Decoding and searching use the same cores in turn.
                        "ENABLE_CPU_PINNING": False,
                    },
                )
            return self._compiled[height, width, n_streams]


def _convert(network: nn.Module, shape: tuple[int, int, int, int]) -> Any:
    """Return OpenVINO's model of a network for images of one shape."""
    openvino = _import_openvino()
    example = torch.zeros(shape, dtype=torch.float32, device="cpu")
    with warnings.catch_warnings():
        # OpenVINO traces with torch.jit, which torch means to retire; and the shape is
        # fixed, so what Python decides by it while tracing holds for every image.
        warnings.filterwarnings("ignore", r"`?torch\.jit\.", FutureWarning)
        warnings.filterwarnings("ignore", r"`?torch\.jit\.", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return openvino.convert_model(network, example_input=example, input=[shape])


def _import_openvino() -> Any:
    """Return openvino, or raise ImportError with the extra that brings it."""
    try:
        with _unreported():
            import openvino  # noqa: PLC0415 - optional and heavy
    except ImportError as error:
        raise ImportError(
            'runtime="openvino" needs openvino, which cannot be imported '
            f"({error}). Run: pip install 'adlib-vision[openvino]'"
        ) from error
    return openvino


@contextmanager
def _unreported() -> Iterator[None]:
    """Import openvino as if its telemetry package were absent.

    That package reports imports and conversions to its makers unless someone opted out
    on this machine; where it is absent, openvino falls back to a stand-in of its own.
    Where others imported it before, it stays as it is.
    """
    if TELEMETRY in sys.modules:
        yield
        return
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]
