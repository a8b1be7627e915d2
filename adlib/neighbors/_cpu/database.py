"""What is searched for, and what is searched: sketches, laid out for the tiles.

A bank's rows are halved along their first principal component until clusters of
``COLUMNS`` are left, which fill one panel each, so that whole panels can be skipped: by
the triangle inequality, a query at distance d from a cluster's centre is at least d - R
away from all its rows, where R is the radius.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adlib._scratch import scratch_array
from adlib._threads import undivided
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.bounds import Sketcher, Sketches, half_norms
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.llvm import COLUMNS

NO_GROUPS = np.empty(0, np.int64)  # of queries that leave no group out
ROWS_AT_ONCE = 2**14  # whose sketches are held as queries'
SAMPLE = 512  # rows of a cluster that its principal component is taken from
STEPS = 4  # of power iteration: a rough direction halves as well as a sharp one
MARGIN = 1.0 + 1e-9  # of distances to clusters; far more than float64 rounds


class Queries(NamedTuple):
    """Rows whose nearest neighbours are wanted."""

    rows: Float32Array  # (n, n_features)
    words: AnyArray  # their sketches, (n, n_words)
    norms: Float64Array  # squared norms that go with these, (n,)
    left_out: Int64Array  # group of database rows that does not count, (n,); or empty


class Panels(NamedTuple):
    """Sketches of database rows as the tiles read them, COLUMNS rows in a panel.

    The first words of all of them stand side by side, then the second ones.
    """

    words: AnyArray  # (n_panels, n_words, COLUMNS)
    biases: Float32Array  # -(1 - g) |b|^2 / 2, (n_panels, COLUMNS); -inf where empty


class Database(NamedTuple):
    """Rows that can be found: all, or those whose sketches are in the panels."""

    rows: Float32Array  # (n, n_features)
    groups: Int64Array  # of each row, (n,)
    ids: Int64Array  # which row stands in each place of the panels, (n_places,)
    panels: Panels
    radii: Float64Array  # of the clusters in the panels, (n_panels,); or empty: none
    centres: Panels  # of these clusters, as of rows
    group_centres: Panels  # of the clusters in each panel of centres
    relative_error: float  # g of the bounds


class Found(NamedTuple):
    """The nearest database rows so far, (n_queries, n_neighbors) each."""

    squared: Float64Array  # squared distances, ascending
    indices: Int64Array  # of database rows


def empty_panels(
    n_rows: int, sketcher: Sketcher, scratch: Path | None = None
) -> Panels:
    """Return panels with places for so many rows; ``fill`` puts sketches there."""
    n_panels = -(-n_rows // COLUMNS)
    shape = (n_panels, sketcher.n_words, COLUMNS)
    words = scratch_array(shape, sketcher.word, scratch)
    return Panels(words, np.full((n_panels, COLUMNS), -np.inf, np.float32))


def fill(panels: Panels, first: int, sketches: Sketches, sketcher: Sketcher) -> None:
    """Put sketches into the places from ``first`` on."""
    panel, column = np.divmod(first + np.arange(len(sketches.norms)), COLUMNS)
    panels.words[panel, :, column] = sketcher.as_database(sketches.words)
    panels.biases[panel, column] = -half_norms(sketches.norms, sketcher.relative_error)


def empty_database(rows: Float32Array, sketcher: Sketcher) -> Database:
    """Return a database of ``rows`` in their order, whose panels are still empty."""
    panels, none = (empty_panels(n, sketcher) for n in (len(rows), 0))
    ids, no_radii, error = np.arange(len(rows)), np.empty(0), sketcher.relative_error
    return Database(rows, NO_GROUPS, ids, panels, no_radii, none, none, error)


def clustered_database(
    rows: Float32Array,
    groups: Int64Array,
    span: range,
    sketcher: Sketcher,
    pool: Executor,
    n_threads: int,
    scratch: Path | None = None,
) -> Database:
    """Return a database of a span of ``rows``, a cluster in each panel.

    With ``scratch`` the sketches of rows are in a file of that folder.
    """
    block = rows[span.start : span.stop]
    ids, centres, radii = cluster_rows(block)
    # Clusters side by side were halved last: those of a panel of centres are a group.
    firsts = range(0, len(centres), COLUMNS)
    means = np.array([centres[i : i + COLUMNS].mean(axis=0) for i in firsts])
    panels = empty_panels(len(block), sketcher, scratch)
    of_centres, of_groups = (empty_panels(len(p), sketcher) for p in (centres, means))
    for first in range(0, len(block), ROWS_AT_ONCE):
        part = block[ids[first : first + ROWS_AT_ONCE]]
        fill(panels, first, sketcher.sketch(part, pool, n_threads), sketcher)
    fill(of_centres, 0, sketcher.sketch(centres, pool, n_threads), sketcher)
    fill(of_groups, 0, sketcher.sketch(means, pool, n_threads), sketcher)
    ids += span.start
    error = sketcher.relative_error
    return Database(rows, groups, ids, panels, radii, of_centres, of_groups, error)


@undivided()
def cluster_rows(rows: Float32Array) -> tuple[Int64Array, Float32Array, Float64Array]:
    """Return the rows cluster by cluster, the clusters' centres, and their radii."""
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
    return order, centres, np.sqrt(radii) * MARGIN


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
