"""Random projection: fewer features, distances nearly kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from adlib._threads import undivided
from adlib._typing import Float32Array
from adlib._validation import check_int, check_random_state
from adlib.neighbors._points import as_points

OWNER = "random_projection"
ROWS_AT_ONCE = 2**14


def random_projection(
    X: ArrayLike, n_features: int, *, random_state: int | None = None
) -> Float32Array:
    """Project points onto random Gaussian directions.

    Args:
        X: (n_points, n_features_in), real numbers, cast to float32.
        n_features: How many directions, at least 1.
        random_state: Seed of the directions; None draws new ones.

    Returns:
        (n_points, n_features) float32; expected squared distances are kept.

    Raises:
        TypeError: ``X`` does not hold real numbers, or a parameter is of another kind.
        ValueError: ``X`` is empty, not 2-D or not finite; or ``n_features`` is below 1.

    Note:
        Directions are drawn from a normal distribution of variance 1 / n_features in
        float64 and cast to float32. Time is O(n_points * n_features_in * n_features);
        memory beyond ``X`` and the result: 12 bytes * n_features_in * n_features for
        the directions, 8 bytes a point, and a float32 copy of an ``X`` of another kind.

    References:
        1. W. B. Johnson and J. Lindenstrauss, "Extensions of Lipschitz mappings into a
           Hilbert space", Contemporary Mathematics 26, 1984.

    Example:
        >>> import numpy as np
        >>> from adlib.neighbors import random_projection
        >>> X = np.random.default_rng(0).normal(size=(5, 300))
        >>> random_projection(X, 40, random_state=0).shape
        (5, 40)
    """
    rows = as_points(X, "X", OWNER).rows
    n_features = check_int(n_features, "n_features", OWNER, low=1)
    seed = check_random_state(random_state, "random_state", OWNER)
    shape = (rows.shape[1], n_features)
    scale = n_features**-0.5
    directions = (
        np.random.default_rng(seed).normal(0.0, scale, shape).astype(np.float32)
    )
    projected = np.empty((len(rows), n_features), np.float32)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        with undivided():
            np.matmul(rows[part], directions, out=projected[part])
    return projected
