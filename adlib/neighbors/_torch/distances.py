"""The distance that decides, with torch: the same bits as in ``_cpu.distances``."""

from __future__ import annotations

import warnings
from functools import cache
from types import ModuleType

import torch

from adlib._typing import AnyArray
from adlib.exceptions import InputWarning
from adlib.neighbors._cpu.llvm import SUM_LANES

BYTES_AT_ONCE = 2**28  # of float64 differences, 256 MiB


def pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Return float64 squared distances of ``left[i]`` and ``right[j]``, (n_pairs,).

    Summed over SUM_LANES lanes in the order of ``_cpu.distances.squared_distance``, so
    that both give the same bits, and equal pairs equal distances, on every device.
    """
    kernels = fused(left.device)
    if kernels is None:
        return _pair_distances(left, i, right, j)
    distances: torch.Tensor = kernels.pair_distances(left, i, right, j)
    return distances


def _pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Do so with torch's operators, on any device.

    The rows are gathered in parts, so that memory stays bounded however many pairs.
    """
    n_features = left.shape[1]
    whole = n_features - n_features % SUM_LANES
    result = torch.empty(len(i), dtype=torch.float64, device=left.device)
    at_once = max(1, BYTES_AT_ONCE // (8 * n_features))
    for first in range(0, len(i), at_once):
        part = slice(first, first + at_once)
        squares = left[i[part]].double()
        squares -= right[j[part]]
        squares *= squares
        lanes = squares.new_zeros((len(squares), SUM_LANES))
        for k in range(0, whole, SUM_LANES):
            lanes += squares[:, k : k + SUM_LANES]
        while lanes.shape[1] > 1:
            lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
        total = lanes[:, 0]
        for k in range(whole, n_features):
            total = total + squares[:, k]
        result[part] = total
    return result


@cache
def fused(device: torch.device) -> ModuleType | None:
    """Return ``kernels`` for a CUDA device on which Triton runs, else None.

    Triton comes with torch's CUDA builds for Linux.
    """
    if device.type != "cuda":
        return None
    try:
        from adlib.neighbors._torch import kernels  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    problem = _problem(kernels, device)
    if problem is None:
        return kernels
    warnings.warn(
        f"Triton cannot be used on {device} ({problem}). Coreset and exact search give "
        "the same results without it, but take longer.",
        InputWarning,
        stacklevel=2,
    )
    return None


def _problem(kernels: ModuleType, device: torch.device) -> str | None:
    """Return why ``kernels`` cannot be used; None where they give the bits of torch."""
    seeded = torch.Generator().manual_seed(0)
    shape = 64, 5 * SUM_LANES + 7
    # Numbers of many scales: sums of others may be exact, whatever their order.
    scales = torch.randn(shape, generator=seeded, dtype=torch.float32)
    rows = scales.mul_(8.0).exp_().to(device)
    i = torch.arange(len(rows), device=device)
    pairs = rows, i, rows, i.flip(0)
    try:
        measured = kernels.pair_distances(*pairs)
    except Exception as error:  # no C compiler, an old GPU, a full disk, ...
        return f"{type(error).__name__}: {error}"
    same = torch.equal(measured, _pair_distances(*pairs))
    return None if same else "its sums have other bits"


def to_device(array: AnyArray, device: str) -> torch.Tensor:
    """Return an array on a device; one that must not be written to is copied."""
    if not array.flags.writeable:  # torch has no such tensors, and warns
        array = array.copy()
    return torch.from_numpy(array).to(device)
