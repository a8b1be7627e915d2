"""The distance that decides: squared differences in float64, summed in one fixed order.

It has the same bits on every processor and on any number of threads. Matrix products
are many times faster, but round differently with every tile shape and library, so they
only serve as lower bounds that say which pairs need not be measured (``bounds``).
"""

from __future__ import annotations

import numpy as np

from adlib._compile import compiled
from adlib._typing import Float32Array, Float64Array
from adlib.neighbors._cpu.llvm import SUM_LANES, sum_of_squares

LARGEST_SQUARED_NORM = 1e37  # a product of two such rows still fits float32


@compiled()
def squared_distance(
    x: Float32Array, y: Float32Array
) -> float:  # pragma: no cover - compiled
    """Sum (x - y)^2 in float64 over 32 lanes, always in the same order.

    Lane l sums the coordinates l, l + 32, ...; then the lanes are added by halves, and
    last come the coordinates that fill no round of lanes, one by one.
    """
    n_features = x.shape[0]
    whole = n_features - n_features % SUM_LANES
    total = sum_of_squares(x, y, whole) if whole else 0.0
    for k in range(whole, n_features):
        difference = np.float64(x[k]) - np.float64(y[k])
        total += difference * difference
    return total


@compiled()
def squared_norms(
    points: Float32Array,
) -> Float64Array:  # pragma: no cover - compiled
    """Return the squared norm of every row in float64; finite where the row is."""
    norms = np.empty(len(points))
    for i in range(len(points)):
        norms[i] = squared_norm(points[i])
    return norms


# Norms only enter bounds, whose error term covers any order of summation in float64.
@compiled(fastmath={"reassoc", "contract"})
def squared_norm(point: Float32Array) -> float:  # pragma: no cover - compiled
    """Return the squared norm in float64; finite where the point is."""
    total = 0.0
    for k in range(len(point)):
        total += np.float64(point[k]) * np.float64(point[k])
    return total
