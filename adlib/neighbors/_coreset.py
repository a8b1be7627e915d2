"""Greedy coreset selection on a CPU or GPU, and the random projection before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._device import resolve_device
from adlib._progress import ProgressBar
from adlib._threads import undivided
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_int, check_random_state
from adlib.neighbors._points import Points, Report, as_points

Twin: TypeAlias = Callable[[Points, int, int, Report], Int64Array]

OWNER = "greedy_coreset"
ROWS_AT_ONCE = 2**14  # that are projected


def greedy_coreset(
    X: ArrayLike,
    size: int,
    *,
    start: int | None = None,
    random_state: int | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Int64Array:
    """Select points by greedy k-center, each the farthest from those before it.

    This is farthest-point selection (Gonzalez 1985), the coreset of PatchCore (Roth et
    al. 2022, algorithm 1), computed in blocks: the result is, index by index, that of
    the textbook loop that picks one point a pass.

    Args:
        X: Points, (n_points, n_features), real numbers; float32 is used in place,
            other types are cast to it.
        size: How many points to select, in [1, n_points].
        start: Index of the first point; None draws it with ``random_state``.
        random_state: Seed for ``start``; None draws a new one on every call.
        device: "cpu", "cuda", "cuda:N", or "auto" for the GPU where there is one. The
            selection is the same on each.
        progress: Show a bar with the covering radius once two seconds have passed.

    Returns:
        Indices into ``X`` in order of selection, (size,) int64, all different.

    Raises:
        TypeError: ``X`` does not hold real numbers, or a parameter is of another kind.
        ValueError: ``X`` is empty, not 2-D or not finite; ``size`` or ``start`` lies
            outside its range; ``device`` asks for a GPU and there is none.

    Note:
        Distances are summed in float64 over the float32 coordinates; ties go to the
        lowest index, and duplicates of selected points come last. Time is
        O(n_points * size * m) in products of sketches (projected, rounded points), most
        of them skipped, where m is how many principal components hold 94 % of the
        variance. On a CPU, memory beyond ``X``: a sketch of each point, 2 (m + 4) bytes
        where the processor multiplies bfloat16 and 4 (m + 4) elsewhere, m <=
        n_features; another 40 bytes a point; the selected rows; and under 64 MiB. On a
        GPU: ``X``, half as much again, and a few GiB at most.

    References:
        1. T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance",
           Theoretical Computer Science 38, 1985.
        2. K. Roth et al., "Towards total recall in industrial anomaly detection",
           CVPR 2022.

    Example:
        >>> import numpy as np
        >>> from adlib.neighbors import greedy_coreset
        >>> X = np.array([[0.0], [1.0], [2.0], [9.0], [10.0]])
        >>> greedy_coreset(X, 3, start=0)
        array([0, 4, 2])
    """
    points = as_points(X, "X", OWNER)
    n_points = len(points.rows)
    size = check_int(size, "size", OWNER, low=1, high=n_points)
    seed = check_random_state(random_state, "random_state", OWNER)
    if start is None:
        first = int(np.random.default_rng(seed).integers(n_points))
    else:
        first = check_int(start, "start", OWNER, low=0, high=n_points - 1)
    twin = _twin(resolve_device(device, OWNER))
    with ProgressBar("Selecting the coreset", size, enabled=progress) as bar:

        def report(n_picked: int, radius: float) -> None:
            bar.advance(n_picked, f"covering radius {radius:.4g}")

        return twin(points, size, first, report)


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
        >>> from adlib.neighbors._coreset import random_projection
        >>> X = np.random.default_rng(0).normal(size=(5, 300))
        >>> random_projection(X, 40, random_state=0).shape
        (5, 40)
    """
    owner = "random_projection"
    rows = as_points(X, "X", owner).rows
    n_features = check_int(n_features, "n_features", owner, low=1)
    seed = check_random_state(random_state, "random_state", owner)
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


def _twin(device: str) -> Twin:
    """Import the twin that runs on ``device``."""
    if device == "cpu":
        from adlib.neighbors._cpu.coreset import select  # noqa: PLC0415

        return select
    from adlib.neighbors._torch import coreset  # noqa: PLC0415

    return partial(coreset.select, device=device)
