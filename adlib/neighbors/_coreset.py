"""Greedy coreset selection: checks, draws the start, and chooses CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._device import resolve_device
from adlib._progress import ProgressBar
from adlib._typing import Int64Array
from adlib._validation import check_int, check_random_state
from adlib.neighbors._points import Points, Report, as_points

Twin: TypeAlias = Callable[[Points, int, int, Report], Int64Array]

OWNER = "greedy_coreset"


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


def _twin(device: str) -> Twin:
    """Import the twin that runs on ``device``."""
    if device == "cpu":
        from adlib.neighbors._cpu.coreset import select  # noqa: PLC0415

        return select
    from adlib.neighbors._torch import coreset  # noqa: PLC0415

    return partial(coreset.select, device=device)
