"""The Gaussians' loops on a CPU, over ``SIDE_BY_SIDE`` positions at a time.

What belongs to these positions stands side by side in memory, so that every processor
adds and multiplies whole vectors of them, and always in the same order: neither batches
nor threads change a bit. Matrices are packed: of the lower triangle, row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from adlib._compile import compiled
from adlib._threads import SLICES_PER_THREAD, Threads, available_threads, run_in_slices
from adlib._typing import AnyArray, Float32Array, Float64Array

if TYPE_CHECKING:
    from adlib.estimators._gaussian import Gaussian

SIDE_BY_SIDE = 16  # positions: one vector of float32, two of float64, with AVX-512
STRIDE = 8  # products between two visits of the memory that they are summed in


def n_blocks(n_positions: int) -> int:
    """Return how many blocks of positions there are; the last may be short."""
    return -(-n_positions // SIDE_BY_SIDE)


def blocked(rows: Float32Array) -> Float32Array:
    """Return rows of positions, (n_positions, n), side by side, (n_blocks, n, 16)."""
    n_positions, n = rows.shape
    whole = np.zeros((n_blocks(n_positions) * SIDE_BY_SIDE, n), rows.dtype)
    whole[:n_positions] = rows
    return np.ascontiguousarray(whole.reshape(-1, SIDE_BY_SIDE, n).transpose(0, 2, 1))


def unblocked(blocks: AnyArray) -> AnyArray:
    """Undo ``blocked``; the rows that fill the last block remain."""
    return blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])


def n_packed(n_features: int) -> int:
    """Return how many numbers a packed triangle holds."""
    return n_features * (n_features + 1) // 2


class SumsCPU:
    """Running sums of x and x x' at every position, about a fixed ``shift``.

    Subtracted from all x, it leaves the sums few digits that cancel, however far from
    zero the data lies.
    """

    def __init__(self, shift: Float32Array) -> None:
        n_positions, n_features = shift.shape
        blocks = n_blocks(n_positions)
        self._shift = shift
        self._sums = np.zeros((blocks, n_features, SIDE_BY_SIDE))
        self._products = np.zeros((blocks, n_packed(n_features), SIDE_BY_SIDE))

    def add(self, images: Float32Array) -> None:
        """Add images, (n_images, n_positions, n_features)."""

        def work(first: int, last: int) -> None:
            _add(images, self._shift, self._sums, self._products, first, last)

        _over_blocks(work, len(self._sums))

    def moments(
        self, first: int, last: int, n_images: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and covariances of the positions in some blocks, float64.

        Of the covariances the lower triangle alone.
        """
        shift = self._shift[first * SIDE_BY_SIDE : last * SIDE_BY_SIDE]
        count, n_features = shift.shape
        means = unblocked(self._sums[first:last])[:count] / n_images
        rows, columns = np.tril_indices(n_features)
        products = unblocked(self._products[first:last])[:count]
        products = products - n_images * means[:, rows] * means[:, columns]
        covariances = np.zeros((count, n_features, n_features))
        covariances[:, rows, columns] = products / max(n_images - 1, 1)
        return torch.from_numpy(means + shift), torch.from_numpy(covariances)


class MahalanobisCPU:
    """Squared Mahalanobis distances on a CPU."""

    def __init__(self, gaussian: Gaussian) -> None:
        self._gaussian = gaussian

    def squared(self, images: Float32Array) -> Float32Array:
        """Return (n_images, n_positions) float32 for images of embeddings."""
        mean, factors, spread, regularization = self._gaussian
        squared = np.empty(images.shape[:2], np.float32)

        def work(first: int, last: int) -> None:
            if spread is None:
                squared_by_factors(images, mean, factors, squared, first, last)
            else:
                rest = 1.0 / regularization
                squared_by_spread(
                    images, mean, spread, factors, rest, squared, first, last
                )

        _over_blocks(work, len(factors))
        return squared


def _over_blocks(work: Callable[[int, int], None], n_blocks: int) -> None:
    n_threads = available_threads()
    with Threads(n_threads) as pool:
        run_in_slices(pool, n_threads * SLICES_PER_THREAD, n_blocks, work)


@compiled(fastmath={"contract"})
def _add(
    images: Float32Array,
    shift: Float32Array,
    sums: Float64Array,
    products: Float64Array,
    first: int,
    last: int,
) -> None:  # pragma: no cover - compiled
    """Add images to the sums of the blocks from ``first`` to before ``last``."""
    n_images, n_positions, n_features = images.shape
    n_rounds = -(-n_images // STRIDE) * STRIDE
    x = np.zeros((n_features, n_rounds, SIDE_BY_SIDE))
    for block in range(first, last):
        start = block * SIDE_BY_SIDE
        n_here = min(SIDE_BY_SIDE, n_positions - start)
        for image in range(n_images):
            for lane in range(n_here):
                for i in range(n_features):
                    centred = np.float64(images[image, start + lane, i])
                    x[i, image, lane] = centred - np.float64(shift[start + lane, i])
        if n_here < SIDE_BY_SIDE:
            x[:, :, n_here:] = 0.0
        k = 0
        for i in range(n_features):
            for image in range(n_images):
                for lane in range(SIDE_BY_SIDE):
                    sums[block, i, lane] += x[i, image, lane]
            for j in range(i + 1):
                _add_products(x[i], 0, x[j], n_rounds, products[block, k])
                k += 1


@compiled(fastmath={"contract"})
def pack_inverses(
    lower: Float64Array, factors: Float32Array
) -> None:  # pragma: no cover - compiled
    """Write the packed inverses of lower triangles, row by row, to ``factors``."""
    size = lower.shape[1]
    inverse = np.zeros((size, size))
    for position in range(len(lower)):
        block, lane = divmod(position, SIDE_BY_SIDE)
        packed = 0
        for i in range(size):
            inverse[i] = 0.0
            for k in range(i):
                share = lower[position, i, k]
                for j in range(k + 1):
                    inverse[i, j] -= share * inverse[k, j]
            inverse[i, i] = 1.0
            for j in range(i + 1):
                inverse[i, j] /= lower[position, i, i]
                factors[block, packed, lane] = inverse[i, j]
                packed += 1


@compiled(fastmath={"contract"})
def squared_by_factors(
    images: Float32Array,
    mean: Float32Array,
    factors: Float32Array,
    squared: Float32Array,
    first: int,
    last: int,
) -> None:  # pragma: no cover - compiled
    """Write |F (x - mean)|^2 of the blocks from ``first`` to before ``last``."""
    n_images, n_positions, n_features = images.shape
    x = np.zeros((n_features, SIDE_BY_SIDE), np.float32)
    y = np.zeros(SIDE_BY_SIDE, np.float32)
    total = np.zeros(SIDE_BY_SIDE)
    for block in range(first, last):
        start = block * SIDE_BY_SIDE
        n_here = min(SIDE_BY_SIDE, n_positions - start)
        for image in range(n_images):
            _centre(images[image], mean, start, n_here, x)
            total[:] = 0.0
            k = 0
            for i in range(n_features):
                y[:] = np.float32(0.0)
                _add_products(factors[block], k, x, i + 1, y)
                k += i + 1
                for lane in range(SIDE_BY_SIDE):
                    total[lane] += np.float64(y[lane]) * np.float64(y[lane])
            for lane in range(n_here):
                squared[image, start + lane] = total[lane]


@compiled(fastmath={"contract"})
def squared_by_spread(
    images: Float32Array,
    mean: Float32Array,
    spread: Float32Array,
    factors: Float32Array,
    rest: float,
    squared: Float32Array,
    first: int,
    last: int,
) -> None:  # pragma: no cover - compiled
    """Write |w|^2 + rest |r - A w|^2 with w = F'F A'r and r = x - mean."""
    n_images, n_positions, n_features = images.shape
    n_columns = spread.shape[1] // n_features
    x = np.zeros((n_features, SIDE_BY_SIDE), np.float32)
    along = np.zeros((n_columns, SIDE_BY_SIDE), np.float32)
    w = np.zeros((n_columns, SIDE_BY_SIDE), np.float32)
    y = np.zeros(SIDE_BY_SIDE, np.float32)
    total = np.zeros(SIDE_BY_SIDE)
    for block in range(first, last):
        start = block * SIDE_BY_SIDE
        n_here = min(SIDE_BY_SIDE, n_positions - start)
        for image in range(n_images):
            _centre(images[image], mean, start, n_here, x)
            for i in range(n_columns):
                along[i] = np.float32(0.0)
                _add_products(spread[block], i * n_features, x, n_features, along[i])
            _solve(factors[block], along, y, w)
            total[:] = 0.0
            for i in range(n_columns):
                for lane in range(SIDE_BY_SIDE):
                    total[lane] += np.float64(w[i, lane]) * np.float64(w[i, lane])
                for j in range(n_features):
                    for lane in range(SIDE_BY_SIDE):
                        share = spread[block, i * n_features + j, lane] * w[i, lane]
                        x[j, lane] -= share
            for i in range(n_features):
                for lane in range(SIDE_BY_SIDE):
                    left = np.float64(x[i, lane])
                    total[lane] += rest * left * left
            for lane in range(n_here):
                squared[image, start + lane] = total[lane]


@compiled(inline="always")
def _centre(
    image: Float32Array, mean: Float32Array, start: int, n_here: int, x: Float32Array
) -> None:  # pragma: no cover - compiled
    """Write x - mean of a block's positions side by side."""
    for lane in range(n_here):
        for i in range(x.shape[0]):
            x[i, lane] = image[start + lane, i] - mean[start + lane, i]


@compiled(inline="always")
def _solve(
    factors: Float32Array, along: Float32Array, y: Float32Array, w: Float32Array
) -> None:  # pragma: no cover - compiled
    """Write w = F'F along."""
    w[:] = np.float32(0.0)
    k = 0
    for i in range(len(w)):
        y[:] = np.float32(0.0)
        _add_products(factors, k, along, i + 1, y)
        for j in range(i + 1):
            for lane in range(SIDE_BY_SIDE):
                w[j, lane] += factors[k + j, lane] * y[lane]
        k += i + 1


@compiled(inline="always")
def _add_products(
    rows: AnyArray, k: int, x: AnyArray, count: int, y: AnyArray
) -> None:  # pragma: no cover - compiled
    """Add to y the products of ``count`` numbers from ``rows[k]`` on and those of x."""
    whole = count - count % STRIDE
    for j in range(0, whole, STRIDE):
        for lane in range(SIDE_BY_SIDE):
            y[lane] += (
                rows[k + j, lane] * x[j, lane]
                + rows[k + j + 1, lane] * x[j + 1, lane]
                + rows[k + j + 2, lane] * x[j + 2, lane]
                + rows[k + j + 3, lane] * x[j + 3, lane]
                + rows[k + j + 4, lane] * x[j + 4, lane]
                + rows[k + j + 5, lane] * x[j + 5, lane]
                + rows[k + j + 6, lane] * x[j + 6, lane]
                + rows[k + j + 7, lane] * x[j + 7, lane]
            )
    for j in range(whole, count):
        for lane in range(SIDE_BY_SIDE):
            y[lane] += rows[k + j, lane] * x[j, lane]
