"""Check points and convert them to what the kernels take."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import describe, refusal
from adlib.neighbors._cpu.distances import LARGEST_SQUARED_NORM, squared_norms

Report: TypeAlias = Callable[[int, float], None]  # new picks, covering radius


class Candidates(NamedTuple):
    """The farthest points of a selection, and the best of all others.

    ``indices`` ascend; ``values`` are squared distances to the selection, that of a
    selected point negative. ``limit`` is the highest value of the other points, -inf
    where there are none, and ``limit_index`` the lowest index that has it.
    """

    indices: Int64Array
    values: Float64Array
    limit: float
    limit_index: int

    def unpicked(self) -> Candidates:
        """Return the candidates without those that are selected already."""
        left = self.values >= 0.0
        limit = self.limit if self.limit >= 0.0 else -np.inf
        return Candidates(
            self.indices[left], self.values[left], limit, self.limit_index
        )


def as_points(X: ArrayLike, parameter: str, owner: str) -> Float32Array:
    """Return contiguous float32 rows, (n_points, n_features), or raise.

    Other number types are cast to float32; a float32 array that is already contiguous
    is used as it is, never copied and never written to.
    """
    rule = "a 2-D array of real numbers, (n_points, n_features), with at least one row"
    array = np.asarray(X)
    if array.dtype.kind not in "fiu":
        raise TypeError(refusal(parameter, owner, rule, describe(array)))
    if array.ndim != 2 or 0 in array.shape:  # noqa: PLR2004 - rows and columns
        raise ValueError(refusal(parameter, owner, rule, describe(array)))
    with np.errstate(over="ignore"):  # what does not fit float32 is refused below
        rows = np.ascontiguousarray(array, dtype=np.float32)
    norms = squared_norms(rows)
    worst = int(np.argmax(np.where(np.isfinite(norms), norms, np.inf)))
    if not norms[worst] <= LARGEST_SQUARED_NORM:
        rule = f"finite, with squared row norms up to {LARGEST_SQUARED_NORM:g}"
        came = f"a squared norm of {norms[worst]:g} in row {worst}"
        raise ValueError(refusal(parameter, owner, rule, came))
    return rows
