"""What is searched for, and what is searched: sketches, laid out for the tiles.

A database stands in panels of COLUMNS rows, the first words of all of them side by
side, then the second ones, as the tiles read them.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu.bounds import Sketcher, half_norms
from adlib.neighbors._cpu.clusters import cluster_rows
from adlib.neighbors._cpu.llvm import COLUMNS

NO_GROUPS = np.empty(0, np.int64)  # of queries that leave no group out
NOT_FOUND = -1  # the index of a neighbour not found yet
ROWS_AT_ONCE = 2**14  # whose sketches are held as queries'


class Queries(NamedTuple):
    """Rows whose nearest neighbours are wanted.

    Attributes:
        rows: (n, n_features) float32.
        words: Their sketches, (n, n_words).
        norms: Squared norms that go with these, (n,).
        left_out: Group of database rows that does not count for each, (n,); or empty.
    """

    rows: Float32Array
    words: AnyArray
    norms: Float64Array
    left_out: Int64Array


class Database(NamedTuple):
    """Rows that can be found.

    Attributes:
        rows: (n, n_features) float32.
        groups: Group of each, (n,).
        ids: Which row stands in each place of the panels, (n,).
        panels: Their sketches, (n_panels, n_words, COLUMNS).
        biases: -(1 - g) |b|^2 / 2, (n_panels, COLUMNS); -inf in empty places.
        radii: Of the panels' clusters, (n_panels,); or empty, where there are none.
        centre_panels: Sketches of the clusters' centres, as of rows.
        centre_biases: Biases of these.
    """

    rows: Float32Array
    groups: Int64Array
    ids: Int64Array
    panels: AnyArray
    biases: Float32Array
    radii: Float64Array
    centre_panels: AnyArray
    centre_biases: Float32Array


class Found(NamedTuple):
    """The nearest database rows so far.

    Attributes:
        squared: Squared distances, ascending, (n_queries, n_neighbors).
        indices: Of database rows, (n_queries, n_neighbors).
    """

    squared: Float64Array
    indices: Int64Array


def empty_database(
    rows: Float32Array, groups: Int64Array, sketcher: Sketcher
) -> Database:
    """Return empty panels for all ``rows``, in their order; ``add`` fills them."""
    no_panels, no_biases = _empty_panels(0, sketcher)
    ids, radii = np.arange(len(rows)), np.empty(0)
    panels, biases = _empty_panels(len(rows), sketcher)
    return Database(rows, groups, ids, panels, biases, radii, no_panels, no_biases)


def clustered_database(
    rows: Float32Array,
    groups: Int64Array,
    sketcher: Sketcher,
    pool: Executor,
    n_threads: int,
) -> Database:
    """Return a database of all ``rows``, a cluster in each panel."""
    ids, centres, radii = cluster_rows(rows)
    panels = _empty_panels(len(rows), sketcher)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[ids[first : first + ROWS_AT_ONCE]]
        words, norms = sketcher.sketch(part, pool, n_threads)
        _fill(*panels, first, words, norms, sketcher)
    centre_panels = _empty_panels(len(centres), sketcher)
    words, norms = sketcher.sketch(centres, pool, n_threads)
    _fill(*centre_panels, 0, words, norms, sketcher)
    return Database(rows, groups, ids, *panels, radii, *centre_panels)


def add(
    database: Database,
    first: int,
    words: AnyArray,
    norms: Float64Array,
    sketcher: Sketcher,
) -> None:
    """Put the sketches of the rows from ``first`` on into the panels."""
    _fill(database.panels, database.biases, first, words, norms, sketcher)


def _empty_panels(n_rows: int, sketcher: Sketcher) -> tuple[AnyArray, Float32Array]:
    n_panels = -(-n_rows // COLUMNS)
    panels = np.zeros((n_panels, sketcher.n_words, COLUMNS), sketcher.word)
    return panels, np.full((n_panels, COLUMNS), -np.inf, np.float32)


def _fill(
    panels: AnyArray,
    biases: Float32Array,
    first: int,
    words: AnyArray,
    norms: Float64Array,
    sketcher: Sketcher,
) -> None:
    panel, column = np.divmod(first + np.arange(len(words)), COLUMNS)
    panels[panel, :, column] = sketcher.as_database(words)
    biases[panel, column] = -half_norms(norms, sketcher.relative_error)
