"""The bound of ``_distances`` for torch, whose products may round more coarsely."""

from __future__ import annotations

import torch

from adlib.neighbors._distances import UNDERFLOW, slack

# What a product may use once torch.set_float32_matmul_precision allows less than
# "highest": TF32 keeps 10 bits, bfloat16 7; the inputs are rounded before they meet.
COARSE_ROUNDOFF = 2.0**-7
BYTES_AT_ONCE = 2**27  # of float64 differences, 128 MiB


class Promises:
    """Promises and bars of rows on one device; see ``_distances`` for what they are."""

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        """Take rows, (n, n_features) float32, and squared norms, (n,) float64."""
        self.rows, self.norms = rows, norms
        exact = torch.get_float32_matmul_precision() == "highest"
        rounding = 0.0 if exact else 2.0 * COARSE_ROUNDOFF + COARSE_ROUNDOFF**2
        self._keep = 1.0 - slack(rows.shape[1]) - rounding
        self._half_norms = (self._keep * norms / 2).float()

    def of(self, queries: torch.Tensor, members: slice | torch.Tensor) -> torch.Tensor:
        """Return the promise of each query and member, (n_queries, n_members)."""
        return queries @ self.rows[members].T - self._half_norms[members]

    def bars(self, norms: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
        """Return what promises must exceed to undercut ``nearest``."""
        return (self._keep * norms - nearest) / 2 - UNDERFLOW


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return float64 squared distances of paired rows, (n_pairs,)."""
    result = torch.empty(len(left), dtype=torch.float64, device=left.device)
    at_once = max(1, BYTES_AT_ONCE // (8 * left.shape[1]))
    for first in range(0, len(left), at_once):
        pairs = slice(first, first + at_once)
        result[pairs] = (left[pairs].double() - right[pairs].double()).square().sum(1)
    return result
