"""Put points near each other side by side, so that whole panels can be skipped.

Points are halved along their main direction until a leaf of ``COLUMNS`` is left, which
fills one panel. A seeker whose nearest so far is b away cannot find anybody nearer in a
leaf with centre c and radius R if |seeker - c| > R + b.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._distances import squared_distance
from adlib.neighbors._tile import COLUMNS

SAMPLE = 512  # points that the main direction is taken from
STEPS = 4  # of power iteration: a rough direction halves as well as a sharp one
MARGIN = 1.0 + 1e-9  # far more than float64 rounds


class Leaves(NamedTuple):
    """Leaves of some points.

    Attributes:
        order: The points leaf by leaf, (n_points,); the last leaf may be short.
        centres: (n_leaves, n_features) float32.
        radii: The largest distance of a leaf's points from its centre, (n_leaves,).
    """

    order: Int64Array
    centres: Float32Array
    radii: Float64Array


def grow_leaves(rows: Float32Array) -> Leaves:
    """Return leaves of points, (n_points, n_features) float32."""
    order = np.arange(len(rows))
    waiting = [(0, len(rows))]
    while waiting:
        first, last = waiting.pop()
        n_leaves = -(-(last - first) // COLUMNS)
        if n_leaves > 1:
            members = order[first:last]
            order[first:last] = members[_along_main_direction(rows[members])]
            middle = first + n_leaves // 2 * COLUMNS
            waiting += [(first, middle), (middle, last)]
    parts = [order[first : first + COLUMNS] for first in range(0, len(rows), COLUMNS)]
    means = [rows[part].mean(axis=0, dtype=np.float64) for part in parts]
    centres = np.array(means, np.float32)
    radii = [
        max(squared_distance(rows[i], centre) for i in part)
        for part, centre in zip(parts, centres, strict=True)
    ]
    return Leaves(order, centres, np.sqrt(radii) * MARGIN)


def _along_main_direction(rows: Float32Array) -> Int64Array:
    """Return the order of rows along the direction in which they differ most."""
    sample = rows[:: -(-len(rows) // SAMPLE)]
    with np.errstate(all="ignore"):  # any order is right, if a poor one is slower
        centred = sample - sample.mean(axis=0)
        direction = centred[np.argmax(np.abs(centred).max(axis=1))]
        for _ in range(STEPS):
            direction = (centred @ direction) @ centred
            direction = direction / np.abs(direction).max()
        along: Int64Array = np.argsort(rows @ direction, kind="stable")
    return along
