"""The exported file: an ONNX model whose metadata holds a JSON header.

It is checked before a runtime sees it. An ONNX model is a protocol buffer; of that
format only the outermost level is read here, so that no package is needed for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adlib.exceptions import ModelFileError

FORMAT = 1
METADATA_KEY = "adlib"
SUFFIX = ".onnx"
OUTPUTS = ["score", "anomaly_map", "patch_scores", "verdict"]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    """Ask whether a value is [height, width]."""
    whole = isinstance(value, list) and all(type(side) is int for side in value)
    return whole and len(value) == 2 and min(value) > 0  # noqa: PLR2004 - of a plane


# What a header holds, and how each field can be.
FIELDS: dict[str, Callable[[Any], bool]] = {
    "format": lambda value: type(value) is int,
    "detector": lambda value: isinstance(value, str),
    "versions": lambda value: isinstance(value, dict),
    "parameters": lambda value: isinstance(value, dict),
    "image_size": _is_size,
    "grid": _is_size,
    "input_size": lambda value: value is None or _is_size(value),
    "map_size": lambda value: value == "original" or _is_size(value),
    "precision": lambda value: isinstance(value, str),
    "threshold": lambda value: value is None or _is_number(value),
    "pixel_threshold": lambda value: value is None or _is_number(value),
    "promise": lambda value: isinstance(value, str),
    "n_training_images": lambda value: type(value) is int,
    "outputs": lambda value: value in (OUTPUTS, OUTPUTS[:-1]),
    "check": lambda value: isinstance(value, dict),
}
# Fields of ONNX's ModelProto (onnx.proto3) that an exported file may have.
GRAPH, METADATA = 7, 14
NUMBERS, TEXTS = {1, 5}, {2, 3, 4, 6, GRAPH, 8, METADATA}
VARINT, BYTES = 0, 2  # how protocol buffers store a number, and anything longer
LONGEST_VARINT = 10


class ExportedFile(NamedTuple):
    """A checked file: its header, of ``FIELDS``, and the ONNX model as bytes."""

    header: dict[str, Any]
    content: bytes


def read_exported(path: str | os.PathLike[str]) -> ExportedFile:
    """Read and check an exported file."""
    file = Path(path)
    name = repr(str(file))
    if not file.exists():
        raise FileNotFoundError(f"There is no exported model at {name}.")
    if not file.is_file():
        raise ModelFileError(f"{name} is no file, so no exported model.")
    content = file.read_bytes()
    try:
        graph, properties = _parts(content)
        header: Any = json.loads(properties[METADATA_KEY])
        sha256 = header.pop("sha256")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        text = f"{name} is not a model that adlib exported, or it is damaged: {error!r}"
        if content[8:].startswith(b'{"__metadata__"'):  # as safetensors files begin
            text = f"{name} is no exported model; adlib.load reads model files."
        raise ModelFileError(text) from error
    if not FIELDS["format"](header.get("format")) or header["format"] != FORMAT:
        raise ModelFileError(
            f"{name} has format {header.get('format')!r}; this adlib reads format "
            f"{FORMAT}. Read it with the adlib that exported it, or export it again."
        )
    if sha256 != checksum(graph, header):
        raise ModelFileError(
            f"{name} is damaged: its checksum does not fit its content. Copy it again "
            "from where it was exported."
        )
    for field, fits in FIELDS.items():
        if not fits(header.get(field)):
            raise ModelFileError(f"{name} has a damaged header: {field!r}.")
    if (header["threshold"] is None) == (len(header["outputs"]) == len(OUTPUTS)):
        raise ModelFileError(f"{name} has a damaged header: 'outputs', 'threshold'.")
    return ExportedFile(header, content)


def checksum(graph: bytes | memoryview, header: Mapping[str, Any]) -> str:
    """Return SHA-256 over a header and a graph."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(graph)
    return digest.hexdigest()


def _parts(content: bytes) -> tuple[memoryview, dict[str, str]]:
    """Return the graph and the metadata of an ONNX model, or raise ValueError."""
    graphs, properties = [], {}
    for field, value in _fields(memoryview(content)):
        allowed = NUMBERS if isinstance(value, int) else TEXTS
        if field not in allowed:
            raise ValueError(f"field {field} is not one that adlib writes")
        if field == GRAPH and not isinstance(value, int):
            graphs.append(value)
        if field == METADATA and not isinstance(value, int):
            key, text = dict(_fields(value)).get(1), dict(_fields(value)).get(2)
            if isinstance(key, memoryview) and isinstance(text, memoryview):
                properties[str(key, "utf-8")] = str(text, "utf-8")
    if len(graphs) != 1:
        raise ValueError(f"it has {len(graphs)} graphs")
    return graphs[0], properties


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == BYTES:
            if value > len(message) - at:
                raise ValueError("it ends too early")
            yield tag >> 3, message[at : at + value]
            at += value
        elif tag & 7 == VARINT:
            yield tag >> 3, value
        else:
            raise ValueError("it is no ONNX model")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends."""
    value = 0
    for i, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:  # noqa: PLR2004 - the eighth bit says that there is more
            return value, at + i + 1
    raise ValueError("it ends too early")
