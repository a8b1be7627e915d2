"""Greedy coreset selection on a CPU or GPU, and the random projection before it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from adlib._device import resolve_device
from adlib._progress import ProgressBar
from adlib._scratch import scratch_array
from adlib._threads import undivided
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_int, check_random_state
from adlib.neighbors._points import as_points

OWNER = "greedy_coreset"
ROWS_AT_ONCE = 2**14  # that are projected, or measured


def greedy_coreset(
    X: ArrayLike,
    size: int,
    *,
    start: int | None = None,
    random_state: int | None = None,
    device: str = "auto",
    progress: bool = False,
    scratch: str | os.PathLike[str] | None = None,
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
        scratch: Where ``X`` is memory-mapped, a folder for files of what grows with
            ``n_points`` and ``size``, too; they are gone at the end. None: memory.

    Returns:
        Indices into ``X`` in order of selection, (size,) int64, all different.

    Raises:
        TypeError: ``X`` does not hold real numbers, or a parameter is of another kind.
        ValueError: ``X`` is empty, not 2-D or not finite; ``size`` or ``start`` lies
            outside its range; ``device`` asks for a GPU and there is none.
        OSError: The disk of ``scratch`` has no room.

    Note:
        Distances are summed in float64 over the float32 coordinates; ties go to the
        lowest index, and duplicates of selected points come last. Time is
        O(n_points * size * m) in products of sketches (projected, rounded points), most
        of them skipped, where m is how many principal components hold 94 % of the
        variance. On a CPU, memory beyond ``X``: 4 (m + 4) + 40 bytes a point at most,
        the selected rows, and under 64 MiB; with ``scratch`` 20 bytes a point, and the
        rest in files. On a GPU: ``X``, half as much again, and a few GiB at most.

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
    n_points = len(points)
    size = check_int(size, "size", OWNER, low=1, high=n_points)
    seed = check_random_state(random_state, "random_state", OWNER)
    if start is None:
        first = int(np.random.default_rng(seed).integers(n_points))
    else:
        first = check_int(start, "start", OWNER, low=0, high=n_points - 1)
    place = resolve_device(device, OWNER)
    with ProgressBar("Selecting the coreset", size, enabled=progress) as bar:

        def report(n_picked: int, radius: float) -> None:
            bar.advance(n_picked, f"covering radius {radius:.4g}")

        if place == "cpu":
            from adlib.neighbors._cpu.coreset import select  # noqa: PLC0415

            folder = None if scratch is None else Path(scratch)
            return select(points, size, first, report, folder)
        from adlib.neighbors._torch import coreset  # noqa: PLC0415

        return coreset.select(points, size, first, report, device=place)


def radius_bound(picked: Float32Array, n_points: int) -> float | None:
    """Return an upper bound of the covering radius of a greedy selection.

    No point is farther from the others of the picks, (n_picks, n_features) in order of
    selection, than the last pick was. None: of a single pick that is not known.
    """
    if len(picked) == n_points:
        return 0.0
    last, lowest = picked[-1].astype(np.float64), np.inf
    for first in range(0, len(picked) - 1, ROWS_AT_ONCE):
        rows = picked[first : min(first + ROWS_AT_ONCE, len(picked) - 1)]
        lowest = min(lowest, float(((rows - last) ** 2).sum(axis=1).min()))
    return None if lowest == np.inf else float(np.sqrt(lowest))


def random_projection(
    X: Float32Array,
    n_features: int,
    *,
    random_state: int | None = None,
    scratch: Path | None = None,
) -> Float32Array:
    """Project points, (n_points, n_features_in), onto random Gaussian directions.

    Expected squared distances are kept (Johnson and Lindenstrauss 1984). With
    ``scratch`` the result is in a file of that folder.
    """
    rows = as_points(X, "X", "random_projection")
    rng, shape = np.random.default_rng(random_state), (rows.shape[1], n_features)
    directions = rng.normal(0.0, n_features**-0.5, shape).astype(np.float32)
    projected = scratch_array((len(rows), n_features), np.float32, scratch)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        with undivided():
            np.matmul(rows[part], directions, out=projected[part])
    return projected
