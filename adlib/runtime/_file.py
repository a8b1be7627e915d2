"""The exported file: an ONNX model whose metadata holds a JSON header.

It is checked before a runtime sees it. An ONNX model is a protocol buffer; of that
format only the outermost level is read here, so that no package is needed for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adlib._validation import describe
from adlib.exceptions import ModelFileError

FORMAT = 1
METADATA_KEY = "adlib"
SUFFIX = ".onnx"
OUTPUTS = ["score", "anomaly_map", "patch_scores"]  # and "verdict" with a threshold
COUNTS, DIFFERENCES = ("n_images", "n_flipped", "n_tied"), ("score", "map")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0  # type: so that True is none


def _is_number(value: Any) -> bool:
    """Ask whether a value is one that a float can hold; JSON may say NaN or 10**999."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, list)
        and [type(v) for v in value] == [int, int]
        and (min(value) > 0)
    )


def _is_check(value: Any) -> bool:
    """Ask whether a value is a ``Check`` of ``adlib.export`` for each engine."""
    return isinstance(value, dict) and all(
        isinstance(check, dict)
        and all(_is_count(check.get(name)) for name in COUNTS)
        and all(_is_number(check.get(name)) for name in DIFFERENCES)
        and (
            check.get("auroc") is None
            or (
                isinstance(check["auroc"], list)
                and [*map(_is_number, check["auroc"])] == [True] * 2
            )
        )
        for check in value.values()
    )


def _are_parameters(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("backbone"), str)
        and value.get("color", "rgb") in ("rgb", "bgr")
        and (value.get("max_value") is None or _is_number(value["max_value"]))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_threshold(value: Any) -> bool:
    return value is None or _is_number(value)


FIELDS: dict[str, Callable[[Any], bool]] = {  # what each value must be
    "detector": _is_text,
    "versions": lambda value: isinstance(value, dict),
    "parameters": _are_parameters,
    "image_size": _is_size,
    "grid": _is_size,
    "input_size": lambda value: value is None or _is_size(value),
    "map_size": lambda value: value == "original" or _is_size(value),
    "precision": lambda value: value in ("float32", "float16", "int8"),
    "threshold": _is_threshold,
    "pixel_threshold": _is_threshold,
    "promise": _is_text,
    "n_training_images": _is_count,
    "outputs": lambda value: value in (OUTPUTS, [*OUTPUTS, "verdict"]),
    "check": _is_check,
}
# What files of earlier versions do not hold.
LATER: dict[str, Callable[[Any], bool]] = {
    "review_threshold": _is_threshold,
    "calibration_scores": lambda value: (
        isinstance(value, list)
        and all(map(_is_number, value))
        and value == sorted(value)
    ),
}
# Fields of ONNX's ModelProto (onnx.proto3) that an exported file may have.
GRAPH, METADATA = 7, 14
MOST_FIELDS = 1000  # of any level that is read; adlib writes about ten
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
    if b'"adlib"' in content[:64]:  # how model files begin
        raise ModelFileError(
            f"{str(file)!r} is a model file. Load it by adlib.load, or export it first."
        )
    try:
        model, text = _parts(content)
        header: Any = json.loads(text)
        is_whole = isinstance(header, dict) and header.get("sha256") == checksum(
            model, header
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{str(file)!r} is not a model that adlib exported, or it is damaged: "
            f"{error}."
        ) from error
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise ModelFileError(f"{str(file)!r} has a damaged header: no 'format'.")
    if header["format"] != FORMAT:
        raise ModelFileError(
            f"{str(file)!r} has format {describe(header['format'])}; this adlib reads "
            f"format {FORMAT}. Read it with the adlib that exported it, or export it "
            "again."
        )
    if not is_whole:
        raise ModelFileError(
            f"{str(file)!r} is damaged: its checksum does not fit its content. Copy it "
            "again from where it was exported."
        )
    wrong = [
        field
        for field, fits in FIELDS.items()
        if field not in header or not fits(header[field])
    ]
    wrong += [
        name
        for name, fits in LATER.items()
        if name in header and not fits(header[name])
    ]
    if not wrong and ("verdict" in header["outputs"]) == (header["threshold"] is None):
        wrong = ["threshold"]  # a verdict is there where there is a threshold
    if wrong:
        raise ModelFileError(f"{str(file)!r} has a damaged header: {wrong[0]!r}.")
    return ExportedFile(header, content)


def described(header: Mapping[str, Any]) -> dict[str, str]:
    """Return what a file says of itself, as texts by name."""
    images = header["input_size"] or ["any"]
    return {
        "detector": f"{header['detector']}, exported in {header['precision']}",
        "backbone": header["parameters"]["backbone"],
        "learned from": f"{header['n_training_images']} images",
        "image size": "{} x {}".format(*header["image_size"]),
        "images": "{} of 8 bits".format(" x ".join(map(str, images))),
        "outputs": ", ".join(header["outputs"]),
        "threshold": header["promise"],
    }


def checksum(model: bytes | memoryview, header: Mapping[str, Any]) -> str:
    """Return SHA-256 over the header, but for itself, and the model before it."""
    rest = {name: value for name, value in header.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    digest.update(model)
    return digest.hexdigest()


def _parts(content: bytes) -> tuple[memoryview, str]:
    """Return the model before its metadata, and the header, or raise ValueError.

    The metadata come last, so that one checksum covers all that is before them.
    """
    n_graphs, text, before = 0, None, 0
    for field, value, end in _fields(memoryview(content)):
        if text is not None:
            raise ValueError("it goes on after the header")
        if field not in (NUMBERS if isinstance(value, int) else TEXTS):
            raise ValueError(f"field {field} is not one that adlib writes")
        n_graphs += field == GRAPH
        if field == METADATA and not isinstance(value, int):
            entry = {number: text for number, text, _ in _fields(value)}
            key, found = entry.get(1), entry.get(2)
            if isinstance(key, memoryview) and isinstance(found, memoryview):
                text = str(found, "utf-8") if key == METADATA_KEY.encode() else None
            if text is None:
                raise ValueError("its metadata are not adlib's")
        else:
            before = end
    if n_graphs != 1:
        raise ValueError(f"it has {n_graphs} graphs")
    if text is None:
        raise ValueError("it has no metadata of adlib's")
    return memoryview(content)[:before], text


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview, int]]:
    """Yield number, value and end of each field of a protocol buffer."""
    at = 0
    for _ in range(MOST_FIELDS):
        if at == len(message):
            return
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == BYTES:
            if value > len(message) - at:
                raise ValueError("it ends too early")
            at += value
            yield tag >> 3, message[at - value : at], at
        elif tag & 7 == VARINT:
            yield tag >> 3, value, at
        else:
            raise ValueError("it is no ONNX model")
    raise ValueError("it has too many fields")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends."""
    value = 0
    for i, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:  # noqa: PLR2004 - the eighth bit says that there is more
            return value, at + i + 1
    raise ValueError("it ends too early")
