"""The model file: one safetensors file whose metadata holds a JSON header.

Nothing in it is code: no pickle, no import by name. A checksum over the header and
every tensor tells a damaged file from a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from adlib._files import replacing
from adlib._typing import AnyArray
from adlib.exceptions import ModelFileError

FORMAT = 1
METADATA_KEY = "adlib"
FIELDS: dict[str, type] = {
    "format": int,
    "estimator": str,
    "versions": dict,
    "parameters": dict,
    "state": dict,
}


class ModelContent(NamedTuple):
    """What a model file holds: a header of ``FIELDS``, and arrays by name."""

    header: dict[str, Any]
    tensors: dict[str, AnyArray]


def write_model(path: str | os.PathLike[str], content: ModelContent) -> None:
    """Write a model file; a crash leaves the old file whole."""
    from safetensors import SafetensorError  # noqa: PLC0415 - not needed to fit
    from safetensors.numpy import save_file  # noqa: PLC0415

    tensors = {k: np.asarray(v, order="C") for k, v in content.tensors.items()}
    header = {**content.header, "sha256": _checksum(content.header, tensors)}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {METADATA_KEY: json.dumps(header)})
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(
                f"The model file {os.fspath(path)!r} could not be written ({error}); "
                "what was there before is untouched."
            ) from error


def read_model(path: str | os.PathLike[str]) -> ModelContent:
    """Read and check a model file.

    It takes the memory of the tensors twice, and of the header, at most 100 MB, at most
    30 times; none for sizes that are stated without the bytes.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    if not os.path.exists(path):  # noqa: PTH110 - a path of any kind
        raise FileNotFoundError(f"There is no model file at {os.fspath(path)!r}.")
    if os.path.isfile(path) and os.fsdecode(path).endswith(".onnx"):  # noqa: PTH113
        raise ModelFileError(
            f"{os.fspath(path)!r} is an exported model by its name. Load it by "
            "adlib.runtime.load, or pass the model file that it was exported from."
        )
    if os.path.isdir(path):  # noqa: PTH112
        raise ModelFileError(
            f"{os.fspath(path)!r} is not a model file of adlib's: it is a folder."
        )
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} is not a model file of adlib's, or it is damaged: "
            f"{error}"
        ) from error
    header = _read_header(metadata, os.fspath(path))
    if header.pop("sha256", None) != _checksum(header, tensors):
        raise ModelFileError(
            f"{os.fspath(path)!r} is damaged: its checksum does not fit its content. "
            "Copy it again from where it was saved."
        )
    return ModelContent(header, tensors)


def _read_header(metadata: Mapping[str, str], path: str) -> dict[str, Any]:
    """Return the JSON header with its fields checked for presence and kind."""
    if METADATA_KEY not in metadata:
        raise ModelFileError(
            f"{path!r} is a safetensors file, but not one that adlib saved."
        )
    try:
        header: dict[str, Any] = json.loads(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path!r} has a damaged header: {error}") from error
    for field, kind in FIELDS.items():
        value = header.get(field) if isinstance(header, dict) else None
        if not isinstance(value, kind):
            raise ModelFileError(
                f"{path!r} has a damaged header: {field!r} must be of kind "
                f"{kind.__name__}."
            )
    if header["format"] != FORMAT:
        raise ModelFileError(
            f"{path!r} has format {header['format']}; this adlib reads format "
            f"{FORMAT}. Load it with the adlib that saved it "
            f"({header['versions'].get('adlib', 'unknown')})."
        )
    return header


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, AnyArray]) -> str:
    """Return SHA-256 over the header and every tensor's name, kind and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.asarray(tensor, order="C").data)
    return digest.hexdigest()
