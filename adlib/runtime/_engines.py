"""What runs an exported graph: ONNX Runtime or OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

from adlib._threads import available_threads
from adlib._typing import AnyArray
from adlib._validation import refusal
from adlib.exceptions import ModelFileError

Engine: TypeAlias = Literal["onnxruntime", "openvino"]
Device: TypeAlias = Literal["cpu", "cuda", "tensorrt"]
PROVIDERS = {  # ONNX Runtime's names
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
ERRORS_ALONE = 3  # of ONNX Runtime's levels of logging


class Runner(Protocol):
    """Turns images, (n, height, width, channels) uint8, into the graph's outputs.

    Attributes:
        names: Of the graph's inputs, then of its outputs.
    """

    names: list[str]

    def __call__(self, images: AnyArray) -> Sequence[AnyArray]:
        """Return the outputs in their order."""


def runner(content: bytes, name: str, engine: Engine, device: Device) -> Runner:
    """Return what runs a graph; raise ModelFileError where the engine refuses it."""
    if engine == "openvino":
        return _OpenVino(content, name, device)
    return _OnnxRuntime(content, name, device)


class _OnnxRuntime:
    def __init__(self, content: bytes, name: str, device: Device) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - one of two, and heavy
        except ImportError as error:
            raise _missing("onnxruntime", error) from error
        provider = PROVIDERS[device]
        there = onnxruntime.get_available_providers()
        if provider not in there:
            rule = f'a device that this ONNX Runtime has ("{device}" needs {provider})'
            remedy = "Install onnxruntime-gpu in place of onnxruntime."
            raise ValueError(refusal("device", "load", rule, ", ".join(there), remedy))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_threads()
        options.log_severity_level = ERRORS_ALONE
        try:
            # The CPU takes single operators, as everywhere; never the whole graph.
            self._session = onnxruntime.InferenceSession(
                content, options, providers=[provider]
            )
        except Exception as error:  # of many kinds, all ONNX Runtime's own
            raise _refused(name, "ONNX Runtime", error) from error
        if provider not in self._session.get_providers():
            rule = f"a device that ONNX Runtime can use for {name!r}"
            raise ValueError(refusal("device", "load", rule, repr(device)))
        self._name = name
        ends = (*self._session.get_inputs(), *self._session.get_outputs())
        self.names = [end.name for end in ends]

    def __call__(self, images: AnyArray) -> Sequence[AnyArray]:
        try:
            outputs: list[AnyArray] = self._session.run(None, {"images": images})
        except Exception as error:
            raise _refused(self._name, "ONNX Runtime", error) from error
        return outputs


class _OpenVino:
    def __init__(self, content: bytes, name: str, device: Device) -> None:
        if device != "cpu":
            rule = '"cpu" with runtime="openvino"'
            raise ValueError(refusal("device", "load", rule, repr(device)))
        try:
            import openvino  # noqa: PLC0415 - one of two, and heavy
        except ImportError as error:
            raise _missing("openvino", error) from error
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where there is any
            "INFERENCE_NUM_THREADS": available_threads(),
            "ENABLE_CPU_PINNING": False,  # other programs use these cores, too
        }
        try:
            self._compiled = core.compile_model(
                core.read_model(content, b""), "CPU", settings
            )
        except Exception as error:  # RuntimeError and others
            raise _refused(name, "OpenVINO", error) from error
        self._name = name
        ends = (*self._compiled.inputs, *self._compiled.outputs)
        self.names = [end.any_name for end in ends]

    def __call__(self, images: AnyArray) -> Sequence[AnyArray]:
        request: Any = self._compiled.create_infer_request()
        try:
            request.infer([images], share_inputs=True)
        except Exception as error:
            raise _refused(self._name, "OpenVINO", error) from error
        return [output.data.copy() for output in request.output_tensors]


def _missing(package: str, error: ImportError) -> ImportError:
    return ImportError(
        f'runtime="{package}" needs {package}, which cannot be imported ({error}). '
        f"Run: pip install {package}"
    )


def _refused(name: str, engine: str, error: Exception) -> ModelFileError:
    return ModelFileError(f"{name!r} is a model that {engine} cannot run: {error}")
