"""Make an exported graph smaller or faster, at the price of its scores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from adlib._typing import AnyArray

NETWORK = "_network"  # in the names of the backbone's weights
MOST_IMAGES = 64  # that the ranges of activations are measured on
MATRIX = 2  # dimensions


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that stores its matrices in float16 and computes in float32.

    Half the size; runtimes widen the numbers when they load it.
    """
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < MATRIX:
            continue
        narrow = numpy_helper.to_array(tensor).astype(np.float16)
        name, stored = tensor.name, f"{tensor.name}_float16"
        tensor.CopyFrom(numpy_helper.from_array(narrow, stored))
        to = onnx.TensorProto.FLOAT
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=to))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def quantised(model: onnx.ModelProto, images: Iterator[AnyArray]) -> onnx.ModelProto:
    """Return a model whose backbone computes in 8 bits, by ONNX Runtime.

    The ranges of activations are those of up to 64 images, each as the graph takes it.
    """
    from onnxruntime import quantization  # noqa: PLC0415 - needs onnx, and is heavy

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = MOST_IMAGES

        def get_next(self) -> dict[str, Any] | None:
            self._left -= 1
            image = next(images, None) if self._left >= 0 else None
            return None if image is None else {"images": image}

    convolutions = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and NETWORK in node.input[1]
    ]
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantization.quantize_static(
            before,
            after,
            Reader(),
            per_channel=True,
            # Seven bits: processors without VNNI add products of eight in 16 bits.
            reduce_range=True,
            nodes_to_quantize=convolutions,
        )
        return onnx.load(after)
