"""The bound of ``_distances`` for torch, whose products may round more coarsely."""

from __future__ import annotations

import torch

from adlib._typing import AnyArray
from adlib.neighbors._distances import UNDERFLOW, slack
from adlib.neighbors._squares import LANES

# On a GPU a caller may have allowed float32 products to round their inputs to TF32 (10
# bits) or bfloat16 (7 bits), through several settings, old and new, at any time. The
# bound holds for the coarsest of them, whatever is set: it costs a few more candidates.
COARSE_ROUNDOFF = 2.0**-8
COARSE = 2.0 * COARSE_ROUNDOFF + COARSE_ROUNDOFF**2
BYTES_AT_ONCE = 2**27  # of float64 differences, 128 MiB


class Promises:
    """Promises and bars of rows on one device; see ``_distances`` for what they are."""

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        """Take rows, (n, n_features) float32, and squared norms, (n,) float64."""
        self.rows, self.norms = rows, norms
        self._keep = 1.0 - slack(rows.shape[1]) - COARSE
        self._half_norms = (self._keep * norms / 2).float()

    def of(self, queries: torch.Tensor, members: slice | torch.Tensor) -> torch.Tensor:
        """Return the promise of each query and member, (n_queries, n_members)."""
        return queries @ self.rows[members].T - self._half_norms[members]

    def bars(self, norms: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
        """Return what promises must exceed to undercut ``nearest``."""
        return (self._keep * norms - nearest) / 2 - UNDERFLOW


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return float64 squared distances of paired rows, (n_pairs,).

    Summed over LANES lanes in the order of ``_distances.squared_distance``, so that
    both give the same bits, and equal pairs equal distances, on every device.
    """
    n_features = left.shape[1]
    whole = n_features - n_features % LANES
    result = torch.empty(len(left), dtype=torch.float64, device=left.device)
    at_once = max(1, BYTES_AT_ONCE // (8 * n_features))
    for first in range(0, len(left), at_once):
        pairs = slice(first, first + at_once)
        squares = (left[pairs].double() - right[pairs].double()).square()
        lanes = squares.new_zeros((len(squares), LANES))
        for k in range(0, whole, LANES):
            lanes += squares[:, k : k + LANES]
        while lanes.shape[1] > 1:
            lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
        total = lanes[:, 0]
        for k in range(whole, n_features):
            total = total + squares[:, k]
        result[pairs] = total
    return result


def pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Return float64 squared distances of ``left[i]`` and ``right[j]``, (n_pairs,).

    The rows are gathered in parts, so that memory stays bounded however many pairs.
    """
    at_once = max(1, BYTES_AT_ONCE // (8 * left.shape[1]))
    result = torch.empty(len(i), dtype=torch.float64, device=left.device)
    for first in range(0, len(i), at_once):
        part = slice(first, first + at_once)
        result[part] = squared_distances(left[i[part]], right[j[part]])
    return result


def to_device(array: AnyArray, device: str) -> torch.Tensor:
    """Return an array on a device; one that must not be written to is copied."""
    if not array.flags.writeable:  # torch has no such tensors, and warns
        array = array.copy()
    return torch.from_numpy(array).to(device)
