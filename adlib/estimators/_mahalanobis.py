"""How far patches are from the Gaussians at their positions; see ``_gaussian``."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from adlib._threads import SLICES_PER_THREAD, Threads, available_threads, run_in_slices
from adlib._typing import Float32Array
from adlib.estimators._gaussian import Gaussian
from adlib.estimators._gaussian_cpu import squared_by_factors, squared_by_spread


class Mahalanobis(Protocol):
    """Measures how far patches are from the Gaussians at their positions."""

    def squared(self, images: Float32Array) -> Float32Array:
        """Return squared Mahalanobis distances, (n_images, n_positions) float32.

        Args:
            images: (n_images, n_positions, n_features) float32.
        """
        ...


class MahalanobisCPU:
    """Squared Mahalanobis distances on a CPU."""

    def __init__(self, gaussian: Gaussian) -> None:
        self._gaussian = gaussian

    def squared(self, images: Float32Array) -> Float32Array:
        """Return (n_images, n_positions) float32; see ``Mahalanobis``."""
        mean, factors, spread, regularization = self._gaussian
        squared = np.empty(images.shape[:2], np.float32)
        n_threads = available_threads()

        def work(first: int, last: int) -> None:
            if spread is None:
                squared_by_factors(images, mean, factors, squared, first, last)
            else:
                rest = 1.0 / regularization
                squared_by_spread(
                    images, mean, spread, factors, rest, squared, first, last
                )

        with Threads(n_threads) as pool:
            n_slices = n_threads * SLICES_PER_THREAD
            run_in_slices(pool, n_slices, len(factors), work)
        return squared


def mahalanobis(gaussian: Gaussian, device: str) -> Mahalanobis:
    """Return what measures distances on "cpu" or "cuda:N"."""
    if device == "cpu":
        return MahalanobisCPU(gaussian)
    from adlib.estimators._gaussian_torch import MahalanobisTorch  # noqa: PLC0415

    return MahalanobisTorch(gaussian, device)
