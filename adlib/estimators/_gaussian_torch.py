"""The Gaussians' twin for GPUs: the same sums and distances as matrix products."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from adlib._device import still_there
from adlib._torch import undisturbed
from adlib._typing import Float32Array
from adlib.estimators._gaussian import Gaussian
from adlib.estimators._gaussian_cpu import SIDE_BY_SIDE, MahalanobisCPU, unblocked

CHUNK_BYTES = 2**28  # of float64 that images take while they are added
_LOADING = threading.Lock()


def load_solvers(device: str) -> None:
    """Have torch load its solvers for a GPU; two threads that do it at once fail."""
    with _LOADING:
        torch.linalg.cholesky_ex(torch.eye(1, dtype=torch.float64, device=device))


class SumsTorch:
    """Running sums of x and x x' at every position, about a fixed ``shift``."""

    @undisturbed()
    def __init__(self, shift: Float32Array, device: str) -> None:
        self._shift = torch.from_numpy(shift).to(device, torch.float64)
        self._sums = torch.zeros_like(self._shift)
        n_positions, n_features = shift.shape
        self._products = self._sums.new_zeros((n_positions, n_features, n_features))

    @undisturbed()
    def add(self, images: Float32Array) -> None:
        """Add images, (n_images, n_positions, n_features)."""
        n_images, n_positions, n_features = images.shape
        chunk = max(1, CHUNK_BYTES // (8 * n_images * n_features))
        for first in range(0, n_positions, chunk):
            some = slice(first, first + chunk)
            part = torch.from_numpy(np.ascontiguousarray(images[:, some]))
            x = part.to(self._sums.device, torch.float64).transpose(0, 1)
            x = x - self._shift[some, None]
            self._sums[some] += x.sum(dim=1)
            self._products[some].baddbmm_(x.transpose(1, 2), x)

    @undisturbed()
    def moments(
        self, first: int, last: int, n_images: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and covariances of the positions in some blocks, float64."""
        some = slice(first * SIDE_BY_SIDE, last * SIDE_BY_SIDE)
        means = self._sums[some] / n_images
        square = means[:, :, None] * means[:, None]
        covariances = self._products[some] - n_images * square
        return means + self._shift[some], covariances / max(n_images - 1, 1)


class MahalanobisTorch:
    """Squared Mahalanobis distances on a GPU, by factors that are not packed."""

    @undisturbed()
    def __init__(self, gaussian: Gaussian, device: str) -> None:
        self._gaussian, self._device = gaussian, device
        self._mean = torch.from_numpy(gaussian.mean).to(device)
        n_positions, n_features = gaussian.mean.shape
        packed = unblocked(gaussian.factors)[:n_positions]
        spread = gaussian.spread
        size = n_features if spread is None else spread.shape[1] // n_features
        rows, columns = torch.tril_indices(size, size, device=device)
        shape = (n_positions, size, size)
        self._factors = torch.zeros(shape, dtype=torch.float32, device=device)
        self._factors[:, rows, columns] = torch.from_numpy(packed.copy()).to(device)
        self._rest = 1.0 / gaussian.regularization
        self._spread: torch.Tensor | None = None
        if spread is not None:
            columns_of_a = torch.from_numpy(unblocked(spread)[:n_positions].copy())
            shape = (n_positions, size, n_features)
            self._spread = columns_of_a.view(shape).to(device)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._gaussian, self._device)

    @undisturbed()
    def squared(self, images: Float32Array) -> Float32Array:
        """Return (n_images, n_positions) float32 for images of embeddings."""
        x = torch.from_numpy(images).to(self._mean.device)
        r = (x - self._mean).permute(1, 2, 0)
        if self._spread is None:
            squared = torch.bmm(self._factors, r).square().sum(dim=1)
        else:
            along = torch.bmm(self._factors, torch.bmm(self._spread, r))
            w = torch.bmm(self._factors.transpose(1, 2), along)
            left = r - torch.bmm(self._spread.transpose(1, 2), w)
            squared = w.square().sum(dim=1) + self._rest * left.square().sum(dim=1)
        return squared.T.contiguous().cpu().numpy()


def _again(gaussian: Gaussian, device: str) -> MahalanobisCPU | MahalanobisTorch:
    """Rebuild what was copied or pickled, perhaps on another machine."""
    place = still_there(device)
    if place == "cpu":
        return MahalanobisCPU(gaussian)
    return MahalanobisTorch(gaussian, place)
