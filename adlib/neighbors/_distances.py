"""Distances that are the same on every machine, and when a product can settle them.

Everything in this room is decided by one number: the squared Euclidean distance summed
in float64 in a fixed order. Its float32 matrix-product form,

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y,

is many times faster but rounds differently with every tile shape, thread count and
library. So a product only ever *proposes*; the fixed-order sum decides. A proposal
misses nothing, by this bound. With u = 2^-24 and any order of summation, fused or not,

    |fl(x.y) - x.y| <= g |x|.|y| <= g (|x|^2 + |y|^2) / 2,   g = d u / (1 - d u)

(Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5), hence

    |x - y|^2 >= (1 - g) (|x|^2 + |y|^2) - 2 fl(x.y).

So y can lie nearer to x than sqrt(m) only if

    fl(x.y) - (1 - g) |y|^2 / 2  >  ((1 - g) |x|^2 - m) / 2,

whose left side depends on x only through the product: it is the *promise* of the pair;
the right side is the *bar* of x. ``slack`` returns g with 16 further units of u, which
cover the rounding of the norms, of the promise and of the product's underflow to zero
(the last through ``UNDERFLOW``).
"""

from __future__ import annotations

import numpy as np

from adlib._compile import compiled
from adlib._typing import Float32Array, Float64Array
from adlib.neighbors._squares import LANES, sum_of_squares

UNIT_ROUNDOFF = 2.0**-24
UNDERFLOW = 2.0**-100  # far above d times the smallest normal float32, 2^-126
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
    whole = n_features - n_features % LANES
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


# Norms only enter bounds, whose slack covers any order of summation in float64.
@compiled(fastmath={"reassoc", "contract"})
def squared_norm(point: Float32Array) -> float:  # pragma: no cover - compiled
    """Return the squared norm in float64; finite where the point is."""
    total = 0.0
    for k in range(len(point)):
        total += np.float64(point[k]) * np.float64(point[k])
    return total


def slack(n_features: int) -> float:
    """Return the relative error allowed to a float32 product of this length."""
    units = (n_features + 16) * UNIT_ROUNDOFF
    return units / (1.0 - units)


def half_norms(norms: Float64Array, relative_slack: float) -> Float32Array:
    """Return (1 - g) |y|^2 / 2, what a promise subtracts from the product."""
    return ((1.0 - relative_slack) * norms / 2).astype(np.float32)


@compiled(inline="always")
def bar(
    norm: float, nearest: float, relative_slack: float
) -> float:  # pragma: no cover - compiled
    """Return what a promise must exceed to undercut the squared ``nearest``."""
    return ((1.0 - relative_slack) * norm - nearest) / 2 - UNDERFLOW
