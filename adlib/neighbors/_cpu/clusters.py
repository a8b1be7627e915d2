"""Clusters of near rows, one in each panel, so that whole panels can be skipped.

Rows are halved along their first principal component until clusters of ``COLUMNS`` are
left, which fill one panel each. By the triangle inequality, a query at distance d from
a cluster's centre is at least d - R away from all its rows, where R is the radius.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adlib._threads import undivided
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.llvm import COLUMNS

SAMPLE = 512  # rows that the principal component is taken from
STEPS = 4  # of power iteration: a rough direction halves as well as a sharp one
MARGIN = 1.0 + 1e-9  # far more than float64 rounds


class Clusters(NamedTuple):
    """Clusters of some rows."""

    order: (
        Int64Array  # of the rows, cluster by cluster, (n_rows,); the last may be short
    )
    centres: Float32Array  # (n_clusters, n_features)
    radii: Float64Array  # largest distance of rows from their centre, (n_clusters,)


@undivided()
def cluster_rows(rows: Float32Array) -> Clusters:
    """Return clusters of rows, (n_rows, n_features) float32."""
    order = np.arange(len(rows))
    waiting = [(0, len(rows))]
    while waiting:
        first, last = waiting.pop()
        n_clusters = -(-(last - first) // COLUMNS)
        if n_clusters > 1:
            part = order[first:last]
            order[first:last] = part[_order_along_component(rows[part])]
            middle = first + n_clusters // 2 * COLUMNS
            waiting += [(first, middle), (middle, last)]
    parts = [order[first : first + COLUMNS] for first in range(0, len(rows), COLUMNS)]
    means = [rows[part].mean(axis=0, dtype=np.float64) for part in parts]
    centres = np.array(means, np.float32)
    radii = [
        max(squared_distance(rows[i], centre) for i in part)
        for part, centre in zip(parts, centres, strict=True)
    ]
    return Clusters(order, centres, np.sqrt(radii) * MARGIN)


def _order_along_component(rows: Float32Array) -> Int64Array:
    """Return the order of rows along their first principal component."""
    sample = rows[:: -(-len(rows) // SAMPLE)]
    with np.errstate(all="ignore"):  # any order is right, if a poor one is slower
        centred = sample - sample.mean(axis=0)
        direction = centred[np.argmax(np.abs(centred).max(axis=1))]
        for _ in range(STEPS):
            direction = (centred @ direction) @ centred
            direction = direction / np.abs(direction).max()
        along: Int64Array = np.argsort(rows @ direction, kind="stable")
    return along
