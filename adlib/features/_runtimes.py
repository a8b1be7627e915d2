"""What runs a backbone, and in which precision: the names, without the libraries."""

from __future__ import annotations

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["float32", "bfloat16"]
Runtime: TypeAlias = Literal["torch", "openvino"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
RUNTIMES: tuple[Runtime, ...] = ("torch", "openvino")
