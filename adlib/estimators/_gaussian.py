"""A Gaussian at every position of the patch grid, fitted in one pass.

With m the mean and S the covariance of what n images hold at a position, and e the
``regularization``, the squared Mahalanobis distance of x, with r = x - m, is

    r' (S + e I)^-1 r = |F r|^2,    F = L^-1,    S + e I = L L',

with F lower triangular (PaDiM, equations 1 and 2). Where there are few images S = A A'
with few columns A = (x_i - m) / sqrt(n - 1), and the same distance is that of ridge
regression, the least over all w of

    |w|^2 + |r - A w|^2 / e,    taken at w = F'F A'r,    A'A + e I = L L', F = L^-1.

That form holds A and a small F instead of a large one. No difference of large numbers
is taken, and since w is where the least is, its rounding counts only squared: about
(u v / e)^2 of the distance, with u = 2^-24 and v the largest variance in any direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from adlib._progress import ProgressBar
from adlib._threads import Threads, available_threads
from adlib._torch import undisturbed
from adlib._typing import Float32Array
from adlib._validation import refusal
from adlib.estimators._gaussian_cpu import (
    SIDE_BY_SIDE,
    MahalanobisCPU,
    SumsCPU,
    blocked,
    n_blocks,
    n_packed,
    pack_inverses,
)

if TYPE_CHECKING:
    from adlib.estimators._gaussian_torch import MahalanobisTorch, SumsTorch

# Up to so many images a feature, A and its F take less memory than the large F.
FEW_IMAGES = 0.4
CHUNK_BYTES = 2**23  # of covariances that a thread factorises at a time


class Gaussian(NamedTuple):
    """What scoring needs of the Gaussians at all positions.

    Attributes:
        mean: (n_positions, n_features) float32.
        factors: F, packed row by row, of 16 positions side by side,
            (n_blocks, k (k + 1) / 2, 16) float32, with k features or columns of A.
        spread: A, column by column, (n_blocks, k * n_features, 16) float32; None where
            F is the large one.
        regularization: e.
    """

    mean: Float32Array
    factors: Float32Array
    spread: Float32Array | None
    regularization: float


class GaussianFit:
    """Learns Gaussians from images as they come.

    Images wait until there are enough of them for one pass over the sums, so that what
    is learned does not depend on batches, and memory not on the number of images. With
    p positions and d features it takes 1.6 p d^2 bytes for those that wait and, once
    there are more than that, 4 p d^2 for the sums (on a GPU 8 p d^2).
    """

    def __init__(self, regularization: float, device: str) -> None:
        self._regularization = regularization
        self._device = device
        self._waiting: Float32Array | None = None
        self._n_waiting = 0
        self._sums: SumsCPU | SumsTorch | None = None
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
        """Return the Gaussians; nothing can be added afterwards."""
        assert self._waiting is not None  # there is at least one image
        n_positions, n_features = self._waiting.shape[1:]
        few = self._sums is None
        if not few:
            self._sum_up()
            self._waiting = None  # its memory is needed for the factors
        size = self._n_images if few else n_features
        blocks = n_blocks(n_positions)
        mean = np.empty((n_positions, n_features), np.float32)
        factors = np.zeros((blocks, n_packed(size), SIDE_BY_SIDE), np.float32)
        shape = (blocks, size * n_features, SIDE_BY_SIDE)
        spread = np.empty(shape, np.float32) if few else None
        gaussian = Gaussian(mean, factors, spread, self._regularization)
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
            if self._device == "cpu":
                self._sums = SumsCPU(shift)
            else:
                from adlib.estimators._gaussian_torch import SumsTorch  # noqa: PLC0415

                self._sums = SumsTorch(shift, self._device)
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


def mahalanobis(gaussian: Gaussian, device: str) -> MahalanobisCPU | MahalanobisTorch:
    """Return what measures squared distances on "cpu" or "cuda:N"."""
    if device == "cpu":
        return MahalanobisCPU(gaussian)
    from adlib.estimators._gaussian_torch import MahalanobisTorch  # noqa: PLC0415

    return MahalanobisTorch(gaussian, device)


def left_out_squared(squared: Float32Array, n_images: int) -> Float32Array:
    """Return squared Mahalanobis distances of learned points, had each been left out.

    With n points, their mean m and covariance S, and q = r' (S + e I)^-1 r the distance
    of one of them, r = x - m, what it would be with mean and covariance of the other
    n - 1 points follows from q alone (Sherman and Morrison):

        n^2 (n - 2) q / ((n - 1)^3 - n (n - 1) q),

    where the regulariser e of the others is taken as e (n - 1) / (n - 2). n is at
    least 3.
    """
    n = float(n_images)
    q = squared.astype(np.float64)
    # q stays below (n - 1)^2 / n; the floor holds where float32 has rounded it up.
    rest = np.maximum((n - 1) ** 3 - n * (n - 1) * q, 1e-6 * (n - 1) ** 3)
    return (n**2 * (n - 2) * q / rest).astype(np.float32)
