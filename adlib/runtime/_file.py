"""The exported file: an ONNX model whose metadata holds a JSON header.

It is checked before a runtime sees it. An ONNX model is a protocol buffer; of that
format only the outermost level is read here, so that no package is needed for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adlib.exceptions import ModelFileError

FORMAT = 1
METADATA_KEY = "adlib"
SUFFIX = ".onnx"
FIELDS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "detector": str,
    "versions": dict,
    "parameters": dict,
    "image_size": list,
    "grid": list,
    "input_size": (list, type(None)),
    "map_size": (list, str),
    "precision": str,
    "threshold": (float, int, type(None)),
    "pixel_threshold": (float, int, type(None)),
    "promise": str,
    "n_training_images": int,
    "outputs": list,
    "check": dict,
    "sha256": str,
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
    if not file.exists():
        raise FileNotFoundError(f"There is no exported model at {str(file)!r}.")
    if not file.is_file():
        raise ModelFileError(f"{str(file)!r} is no file, so no exported model.")
    content = file.read_bytes()
    try:
        graph, properties = _parts(content)
        header: Any = json.loads(properties[METADATA_KEY])
    except (ValueError, KeyError, RecursionError) as error:
        raise ModelFileError(
            f"{str(file)!r} is not a model that adlib exported, or it is damaged: "
            f"{error!r}"
        ) from error
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise ModelFileError(f"{str(file)!r} has a damaged header: no 'format'.")
    if header["format"] != FORMAT:
        raise ModelFileError(
            f"{str(file)!r} has format {header['format']}; this adlib reads format "
            f"{FORMAT}. Read it with the adlib that exported it, or export it again."
        )
    if header.get("sha256") != checksum(graph, header):
        raise ModelFileError(
            f"{str(file)!r} is damaged: its checksum does not fit its content. Copy it "
            "again from where it was exported."
        )
    for field, kinds in FIELDS.items():
        if field not in header or not isinstance(header[field], kinds):
            raise ModelFileError(f"{str(file)!r} has a damaged header: {field!r}.")
    return ExportedFile(header, content)


def checksum(graph: bytes | memoryview, header: Mapping[str, Any]) -> str:
    """Return SHA-256 over the header, but for itself, and the graph."""
    rest = {name: value for name, value in header.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
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
