"""Filter and refine: lower bounds say which pairs to measure, float64 decides.

A pair *passes the filter* if its similarity is above the query's pruning threshold
(see ``bounds``); then it is *refined*, that is, measured exactly. Every neighbour that
is found raises the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from adlib._compile import compiled
from adlib._threads import SLICES_PER_THREAD, run_in_slices
from adlib._typing import (
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
)
from adlib.neighbors._cpu.bounds import UNIT_ROUNDOFF, lower_bound, pruning_threshold
from adlib.neighbors._cpu.database import MARGIN, Database, Found, Queries
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.llvm import COLUMNS, ROWS, similarity_tile

# Panels of the database that are filtered before any of their pairs is refined: few at
# first, when a query's threshold lets every pair pass.
FIRST_STRIP, LONGEST_STRIP = 4, 64
PANELS = 8  # of queries, filtered while a database panel is in the nearest cache


def update_nearest(
    query_ids: Int64Array,
    n_seen: Int64Array,
    queries: Queries,
    database: Database,
    n_database: int,
    found: Found,
    pool: Executor,
    n_threads: int,
) -> None:
    """Update what some of all queries have ``found`` in the first ``n_database`` rows.

    Each has seen ``n_seen`` of these rows before, best sorted, (n_query_ids,).
    """
    n_panels = -(-n_database // COLUMNS)

    def work(begin: int, end: int) -> None:
        part = slice(begin, end)
        _filter_and_refine(
            query_ids[part], n_seen[part], queries, database, n_panels, found
        )

    _run(pool, n_threads, len(query_ids), work)


def guess_nearest(
    queries: Queries, database: Database, found: Found, pool: Executor, n_threads: int
) -> None:
    """Let every query find the nearest row of the cluster that seems nearest."""

    def work(begin: int, end: int) -> None:
        _guess_nearest(begin, end, queries, database, found)

    _run(pool, n_threads, len(queries.rows), work)


def _run(
    pool: Executor, n_threads: int, n_queries: int, work: Callable[[int, int], None]
) -> None:
    n_slices = 1 if n_threads == 1 else n_threads * SLICES_PER_THREAD
    run_in_slices(pool, n_slices, n_queries, work, grain=ROWS)


@compiled()
def _guess_nearest(
    begin: int, end: int, queries: Queries, database: Database, found: Found
) -> None:  # pragma: no cover - compiled
    """Run ``guess_nearest`` for some queries: nearest group, its nearest cluster."""
    groups, centres, panels = database.group_centres, database.centres, database.panels
    n_group_panels = len(groups.words)
    packed = np.zeros((1, queries.words.shape[1], ROWS), queries.words.dtype)
    thresholds = np.empty((1, ROWS), np.float32)
    to_groups = np.empty((ROWS, n_group_panels * COLUMNS), np.float32)
    to_centres = np.empty((ROWS, COLUMNS), np.float32)
    to_rows = np.empty((ROWS, COLUMNS), np.float32)
    passed = np.empty((ROWS, 1), np.int32)
    unused = np.empty((ROWS, n_group_panels), np.int32)
    for first in range(begin, end, ROWS):
        ids = np.arange(first, min(first + ROWS, end))
        thresholds[:] = np.inf  # no pair passes in rows that stay empty
        for row in range(len(ids)):
            for k in range(packed.shape[1]):
                packed[0, k, row] = queries.words[ids[row], k]
            thresholds[0, row] = -np.inf
        for k in range(n_group_panels):
            similarity_tile(
                packed, 0, groups.words, k, groups.biases, thresholds, to_groups,
                unused, k,
            )  # fmt: skip
        group = cluster = -1  # of the query before, which is often near
        for row in range(len(ids)):
            nearest = int(np.argmax(to_groups[row]))
            if nearest != group:
                group = nearest
                similarity_tile(
                    packed, 0, centres.words, group, centres.biases, thresholds,
                    to_centres, passed, 0,
                )  # fmt: skip
            nearest = group * COLUMNS + int(np.argmax(to_centres[row]))
            if nearest != cluster:
                cluster = nearest
                similarity_tile(
                    packed, 0, panels.words, cluster, panels.biases, thresholds,
                    to_rows, passed, 0,
                )  # fmt: skip
                _refine(
                    to_rows, passed, 1, cluster * COLUMNS, ids, thresholds[0],
                    queries, database, found,
                )  # fmt: skip


@compiled()
def _filter_and_refine(
    query_ids: Int64Array,
    n_seen: Int64Array,
    queries: Queries,
    database: Database,
    n_panels: int,
    found: Found,
) -> None:  # pragma: no cover - compiled
    """Run ``update_nearest`` on one thread, some panels of queries at a time."""
    words = queries.words
    packed = np.zeros((PANELS, words.shape[1], ROWS), words.dtype)
    thresholds = np.empty((PANELS, ROWS), np.float32)
    similarities = np.empty((ROWS, LONGEST_STRIP * COLUMNS), np.float32)
    passed = np.empty((ROWS, LONGEST_STRIP), np.int32)
    last = found.squared.shape[1] - 1
    panels, n_clusters = database.panels, len(database.radii)
    pending = np.ones((PANELS, n_panels), np.bool_)
    error = database.relative_error
    centres, n_centre_panels = database.centres, len(database.centres.words)
    centre_similarities = np.empty((ROWS, n_centre_panels * COLUMNS), np.float32)
    unused = np.empty((ROWS, n_centre_panels), np.int32)
    for begin in range(0, len(query_ids), PANELS * ROWS):
        some_ids = query_ids[begin : begin + PANELS * ROWS]
        thresholds[:] = np.inf  # no pair passes in rows that stay empty
        for place in range(len(some_ids)):
            panel, row = divmod(place, ROWS)
            i = some_ids[place]
            for k in range(words.shape[1]):
                packed[panel, k, row] = words[i, k]
            nearest = found.squared[i, last]
            thresholds[panel, row] = _threshold(queries.norms[i], nearest, error)
        n_query_panels = -(-len(some_ids) // ROWS)
        for panel in range(n_query_panels if n_clusters else 0):
            for k in range(n_centre_panels):
                similarity_tile(
                    packed, panel, centres.words, k, centres.biases, thresholds,
                    centre_similarities, unused, k,
                )  # fmt: skip
            ids = some_ids[panel * ROWS : (panel + 1) * ROWS]
            # Each query's nearest cluster first: it holds a good neighbour or the best.
            pending[panel] = False
            for row in range(len(ids)):
                cluster = int(np.argmax(centre_similarities[row, :n_clusters]))
                if not pending[panel, cluster]:
                    pending[panel, cluster] = True
                    similarity_tile(
                        packed, panel, panels.words, cluster, panels.biases,
                        thresholds, similarities, passed, 0,
                    )  # fmt: skip
                    _refine(
                        similarities, passed, 1, cluster * COLUMNS, ids,
                        thresholds[panel], queries, database, found,
                    )  # fmt: skip
            _select_clusters(
                centre_similarities, ids, pending[panel], queries, database, found
            )
        first, width = n_seen[begin : begin + len(some_ids)].min() // COLUMNS, 0
        while first + width < n_panels:
            first += width
            width = min(max(FIRST_STRIP, 4 * width), LONGEST_STRIP, n_panels - first)
            for panel in range(n_query_panels):
                any_passed = False
                for k in range(width):
                    if not pending[panel, first + k]:
                        passed[:, k] = 0
                        continue
                    any_passed |= similarity_tile(
                        packed, panel, panels.words, first + k, panels.biases,
                        thresholds, similarities, passed, k,
                    )  # fmt: skip
                if any_passed:
                    ids = some_ids[panel * ROWS : (panel + 1) * ROWS]
                    _refine(
                        similarities, passed, width, first * COLUMNS, ids,
                        thresholds[panel], queries, database, found,
                    )  # fmt: skip


@compiled()
def _refine(
    similarities: Float32Array,
    passed: Int32Array,
    width: int,
    first: int,
    query_ids: Int64Array,
    thresholds: Float32Array,
    queries: Queries,
    database: Database,
    found: Found,
) -> None:  # pragma: no cover - compiled
    """Measure the pairs of a strip that pass the filter, the most similar first."""
    for row in range(len(query_ids)):
        i = query_ids[row]
        best = -1
        for tile in range(width):
            if passed[row, tile]:
                for column in range(tile * COLUMNS, (tile + 1) * COLUMNS):
                    if best < 0 or similarities[row, column] > similarities[row, best]:
                        best = column
        if best < 0:
            continue
        # It raises the threshold, and few other pairs still pass.
        thresholds[row] = _refine_pair(i, first + best, queries, database, found)
        for tile in range(width):
            if passed[row, tile]:
                for column in range(tile * COLUMNS, (tile + 1) * COLUMNS):
                    if similarities[row, column] > thresholds[row] and column != best:
                        thresholds[row] = _refine_pair(
                            i, first + column, queries, database, found
                        )


@compiled()
def _select_clusters(
    centre_similarities: Float32Array,
    query_ids: Int64Array,
    pending: BoolArray,
    queries: Queries,
    database: Database,
    found: Found,
) -> None:  # pragma: no cover - compiled
    """Say which clusters may hold a nearer row; those marked so far are done."""
    near = np.zeros(len(database.radii), np.bool_)
    for row in range(len(query_ids)):
        i = query_ids[row]
        nearest = np.sqrt(found.squared[i, -1])
        norm = queries.norms[i]
        for cluster in range(len(near)):
            limit = (database.radii[cluster] + nearest) * MARGIN
            similarity = centre_similarities[row, cluster]
            to_centre = lower_bound(norm, similarity, database.relative_error)
            near[cluster] |= to_centre <= limit * limit
    for cluster in range(len(near)):
        pending[cluster] = near[cluster] and not pending[cluster]


@compiled()
def _refine_pair(
    i: int, place: int, queries: Queries, database: Database, found: Found
) -> Any:  # pragma: no cover - compiled
    """Measure a pair, keep it if it is near enough, and return the new threshold."""
    j = database.ids[place]
    if not len(queries.left_out) or database.groups[j] != queries.left_out[i]:
        distance = squared_distance(queries.rows[i], database.rows[j])
        _insert(distance, j, found.squared[i], found.indices[i])
    nearest = found.squared[i, -1]
    return _threshold(queries.norms[i], nearest, database.relative_error)


@compiled(inline="always")
def _threshold(
    norm: float, nearest: float, relative_error: float
) -> Any:  # pragma: no cover - compiled
    """Return the pruning threshold as float32 that is not above it."""
    exact = pruning_threshold(norm, nearest, relative_error)
    return np.float32(exact - 2.0 * UNIT_ROUNDOFF * abs(exact))


@compiled()
def products(
    words: AnyArray, panels: AnyArray, n_columns: int
) -> Float32Array:  # pragma: no cover - compiled
    """Return all products of sketches and panels, (n, n_columns) float32."""
    n_rows, n_words = words.shape
    result = np.empty((n_rows, n_columns), np.float32)
    packed = np.zeros((1, n_words, ROWS), words.dtype)
    biases = np.zeros((len(panels), COLUMNS), np.float32)
    thresholds = np.full((1, ROWS), np.inf, np.float32)
    strip = np.empty((ROWS, len(panels) * COLUMNS), np.float32)
    passed = np.empty((ROWS, len(panels)), np.int32)
    for begin in range(0, n_rows, ROWS):
        n_here = min(ROWS, n_rows - begin)
        for row in range(n_here):
            for k in range(n_words):
                packed[0, k, row] = words[begin + row, k]
        for panel in range(len(panels)):
            similarity_tile(
                packed, 0, panels, panel, biases, thresholds, strip, passed, panel
            )
        for row in range(n_here):
            for column in range(n_columns):
                result[begin + row, column] = strip[row, column]
    return result


@compiled(inline="always")
def _insert(
    distance: float, index: int, squared: Float64Array, indices: Int64Array
) -> None:  # pragma: no cover - compiled
    """Insert a neighbour where it belongs; equal distances stand by index."""
    position = squared.shape[0]
    while position > 0 and (
        distance < squared[position - 1]
        or (distance == squared[position - 1] and index < indices[position - 1])
    ):
        position -= 1
    if position == squared.shape[0]:
        return
    for k in range(squared.shape[0] - 1, position, -1):
        squared[k] = squared[k - 1]
        indices[k] = indices[k - 1]
    squared[position] = distance
    indices[position] = index
