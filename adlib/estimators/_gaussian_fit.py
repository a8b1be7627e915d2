"""Learn a Gaussian at every position from images as they come; see ``_gaussian``."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from adlib._progress import ProgressBar
from adlib._threads import Threads, available_threads
from adlib._torch import undisturbed
from adlib._typing import Float32Array
from adlib._validation import refusal
from adlib.estimators._gaussian import Gaussian
from adlib.estimators._gaussian_cpu import (
    SIDE_BY_SIDE,
    SumsCPU,
    blocked,
    n_blocks,
    n_packed,
    pack_inverses,
)

# Up to so many images a feature, A and its F take less memory than the large F.
FEW_IMAGES = 0.4
CHUNK_BYTES = 2**23  # of covariances that a thread factorises at a time


class Sums(Protocol):
    """Running sums, on a CPU or a GPU; see ``SumsCPU``."""

    def add(self, images: Float32Array) -> None:
        """Add images, (n_images, n_positions, n_features)."""
        ...

    def moments(
        self, first: int, last: int, n_images: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and covariances of the positions in some blocks, float64."""
        ...


class GaussianFit:
    """Learns Gaussians from images as they come.

    Images wait until there are enough of them for one pass over the sums, so that what
    is learned does not depend on batches, and memory not on the number of images. With
    p positions and d features it takes 1.6 p d^2 bytes for those that wait and, once
    there are more than that, 4 p d^2 for the sums (on a GPU 8 p d^2).

    Args:
        regularization: Added to the diagonal of every covariance, above 0.
        device: "cpu" or "cuda:N"; where sums are kept and factorised.
    """

    def __init__(self, regularization: float, device: str) -> None:
        self._regularization = regularization
        self._device = device
        self._waiting: Float32Array | None = None
        self._n_waiting = 0
        self._sums: Sums | None = None
        self._n_images = 0

    def add(self, images: Float32Array) -> None:
        """Learn images, (n_images, n_positions, n_features) float32."""
        if self._waiting is None:
            n_positions, n_features = images.shape[1:]
            most = max(1, int(FEW_IMAGES * n_features))
            self._waiting = np.empty((most, n_positions, n_features), np.float32)
        while len(images):
            if self._n_waiting == len(self._waiting):
                self._sum_up()
            room = len(self._waiting) - self._n_waiting
            some, images = images[:room], images[room:]
            self._waiting[self._n_waiting : self._n_waiting + len(some)] = some
            self._n_waiting += len(some)
            self._n_images += len(some)

    def finish(self, *, progress: bool) -> Gaussian:
        """Return the Gaussians; nothing can be added afterwards.

        Raises:
            ValueError: ``regularization`` is so small beside the data that a covariance
                is not positive definite in float64.
        """
        assert self._waiting is not None  # there is at least one image
        n_positions, n_features = self._waiting.shape[1:]
        few = self._sums is None
        if not few:
            self._sum_up()
            self._waiting = None  # its memory is needed for the factors
        size = self._n_images if few else n_features
        blocks = n_blocks(n_positions)
        factors = np.zeros((blocks, n_packed(size), SIDE_BY_SIDE), np.float32)
        spread = None
        if few:
            shape = (blocks, size * n_features, SIDE_BY_SIDE)
            spread = np.empty(shape, np.float32)
        gaussian = Gaussian(
            np.empty((n_positions, n_features), np.float32),
            factors,
            spread,
            self._regularization,
        )
        chunk = max(1, CHUNK_BYTES // (8 * n_features**2 * SIDE_BY_SIDE))
        chunks = range(0, blocks, chunk)
        n_threads = min(available_threads(), len(chunks))
        if self._device != "cpu":
            from adlib.estimators._gaussian_torch import load_solvers  # noqa: PLC0415

            load_solvers(self._device)
        with (
            ProgressBar("Factorising", len(chunks), enabled=progress) as bar,
            Threads(n_threads) as pool,
        ):
            work = self._keep_spread if few else self._keep_factors
            for _ in pool.map(
                lambda first: work(gaussian, first, min(first + chunk, blocks)), chunks
            ):
                bar.advance(1)
        return gaussian

    def _sum_up(self) -> None:
        assert self._waiting is not None
        if self._sums is None:
            shift = self._waiting[0].copy()
            self._sums = _sums(shift, self._device)
        self._sums.add(self._waiting[: self._n_waiting])
        self._n_waiting = 0

    @undisturbed()
    def _keep_factors(self, gaussian: Gaussian, first: int, last: int) -> None:
        """Factorise the covariances of some blocks of positions."""
        assert self._sums is not None
        means, covariances = self._sums.moments(first, last, self._n_images)
        some = slice(first * SIDE_BY_SIDE, first * SIDE_BY_SIDE + len(means))
        gaussian.mean[some] = means.cpu().numpy()
        self._keep_inverses(covariances, gaussian.factors[first:last])

    @undisturbed()
    def _keep_spread(self, gaussian: Gaussian, first: int, last: int) -> None:
        """Keep what some blocks of positions hold of each image, and its factors."""
        assert self._waiting is not None
        assert gaussian.spread is not None
        some = slice(first * SIDE_BY_SIDE, last * SIDE_BY_SIDE)
        held = torch.from_numpy(self._waiting[: self._n_images, some])
        x = held.to(self._device, torch.float64).transpose(0, 1)
        means = x.mean(dim=1, keepdim=True)
        columns = (x - means) / max(self._n_images - 1, 1) ** 0.5
        gaussian.mean[some] = means[:, 0].cpu().numpy()
        narrow = columns.cpu().numpy().astype(np.float32)
        gaussian.spread[first:last] = blocked(narrow.reshape(len(narrow), -1))
        inner = torch.bmm(columns, columns.transpose(1, 2))
        self._keep_inverses(inner, gaussian.factors[first:last])

    def _keep_inverses(self, matrices: torch.Tensor, factors: Float32Array) -> None:
        """Pack the F of ``matrices`` + e I, whose lower half is read."""
        matrices.diagonal(dim1=1, dim2=2).add_(self._regularization)
        lower, info = torch.linalg.cholesky_ex(matrices)
        if bool((info != 0).any()):
            rule = "large enough that covariances can be factorised in float64"
            remedy = "Raise it; the paper's is 0.01."
            came = f"{self._regularization:g}"
            raise ValueError(refusal("regularization", "PaDiM", rule, came, remedy))
        pack_inverses(lower.contiguous().cpu().numpy(), factors)


def _sums(shift: Float32Array, device: str) -> Sums:
    if device == "cpu":
        return SumsCPU(shift)
    from adlib.estimators._gaussian_torch import SumsTorch  # noqa: PLC0415

    return SumsTorch(shift, device)
