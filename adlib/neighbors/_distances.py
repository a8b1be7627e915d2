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
from numba import njit

from adlib._typing import Float32Array, Float64Array

UNIT_ROUNDOFF = 2.0**-24
UNDERFLOW = 2.0**-100  # far above d times the smallest normal float32, 2^-126
LARGEST_SQUARED_NORM = 1e37  # a product of two such rows still fits float32


@njit(cache=True, nogil=True)
def squared_distance(x: Float32Array, y: Float32Array) -> float:
    """Sum (x - y)^2 in float64 over eight lanes, always in the same order."""
    n_features = x.shape[0]
    whole = n_features - n_features % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for k in range(0, whole, 8):
        d0 = np.float64(x[k]) - np.float64(y[k])
        d1 = np.float64(x[k + 1]) - np.float64(y[k + 1])
        d2 = np.float64(x[k + 2]) - np.float64(y[k + 2])
        d3 = np.float64(x[k + 3]) - np.float64(y[k + 3])
        d4 = np.float64(x[k + 4]) - np.float64(y[k + 4])
        d5 = np.float64(x[k + 5]) - np.float64(y[k + 5])
        d6 = np.float64(x[k + 6]) - np.float64(y[k + 6])
        d7 = np.float64(x[k + 7]) - np.float64(y[k + 7])
        s0 += d0 * d0
        s1 += d1 * d1
        s2 += d2 * d2
        s3 += d3 * d3
        s4 += d4 * d4
        s5 += d5 * d5
        s6 += d6 * d6
        s7 += d7 * d7
    rest = 0.0
    for k in range(whole, n_features):
        d = np.float64(x[k]) - np.float64(y[k])
        rest += d * d
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + rest


@njit(cache=True, nogil=True)
def squared_norms(points: Float32Array) -> Float64Array:
    """Return the squared norm of every row in float64; finite where the row is."""
    n_points, n_features = points.shape
    norms = np.zeros(n_points)
    for i in range(n_points):
        for k in range(n_features):
            norms[i] += np.float64(points[i, k]) * np.float64(points[i, k])
    return norms


def slack(n_features: int) -> float:
    """Return the relative error allowed to a float32 product of this length."""
    units = (n_features + 16) * UNIT_ROUNDOFF
    return units / (1.0 - units)


def half_norms(norms: Float64Array, relative_slack: float) -> Float32Array:
    """Return (1 - g) |y|^2 / 2, what a promise subtracts from the product."""
    return ((1.0 - relative_slack) * norms / 2).astype(np.float32)


@njit(cache=True, nogil=True, inline="always")
def bar(norm: float, nearest: float, relative_slack: float) -> float:
    """Return what a promise must exceed to undercut the squared ``nearest``."""
    return ((1.0 - relative_slack) * norm - nearest) / 2 - UNDERFLOW
