"""Read promises of either kind as float32 in compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from adlib._typing import AnyArray, Float32Array


def widen(promises: AnyArray, wide: Float32Array) -> None:
    """Write a row of promises as float32; for compiled code only.

    Args:
        promises: (n,) float32, or uint16 that is the upper half of a float32.
        wide: (n,) to write to.
    """
    raise NotImplementedError


@overload(widen)
def _widen(promises: Any, wide: Any) -> Any:
    if promises.dtype == types.uint16:
        return _from_bfloat16
    return _from_float32


def _from_float32(promises: Any, wide: Any) -> Any:  # pragma: no cover - compiled
    wide[:] = promises


def _from_bfloat16(promises: Any, wide: Any) -> Any:  # pragma: no cover - compiled
    bits = wide.view(np.uint32)
    for j in range(bits.shape[0]):
        bits[j] = np.uint32(promises[j]) << np.uint32(16)
