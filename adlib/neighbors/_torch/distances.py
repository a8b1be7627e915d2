"""The distance that decides, with torch: the same bits as in ``_cpu.distances``."""

from __future__ import annotations

import torch

from adlib._typing import AnyArray
from adlib.neighbors._cpu.llvm import SUM_LANES

BYTES_AT_ONCE = 2**28  # of float64 differences, 256 MiB


def pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Return float64 squared distances of ``left[i]`` and ``right[j]``, (n_pairs,).

    Summed over SUM_LANES lanes in the order of ``_cpu.distances.squared_distance``, so
    that both give the same bits, and equal pairs equal distances, on every device. The
    rows are gathered in parts, so that memory stays bounded however many pairs.
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


def to_device(array: AnyArray, device: str) -> torch.Tensor:
    """Return an array on a device; one that must not be written to is copied."""
    if not array.flags.writeable:  # torch has no such tensors, and warns
        array = array.copy()
    return torch.from_numpy(array).to(device)
