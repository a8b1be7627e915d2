"""Let seekers meet members: promises propose who is near, the fixed-order sum decides.

Members stand in panels of COLUMNS, one word of all of them side by side, as the tiles
read them; seekers are packed into panels of ROWS when their turn comes.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, NamedTuple

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
from adlib.neighbors._distances import (
    UNDERFLOW,
    UNIT_ROUNDOFF,
    bar,
    half_norms,
    squared_distance,
)
from adlib.neighbors._leaves import MARGIN, grow_leaves
from adlib.neighbors._sketch import Sketcher
from adlib.neighbors._tile import COLUMNS, ROWS, promise_tile

NO_GROUPS = np.empty(0, np.int64)  # of seekers who leave nobody out
NOBODY = -1  # the place of a neighbour not found yet
# Panels of members whose promises are compared before the best of them is measured: few
# at first, when a seeker's bar lets everybody through.
FIRST_STRIP, LONGEST_STRIP = 4, 64
PANELS = 8  # of seekers, which meet a panel of members while it is in the nearest cache
ROWS_AT_ONCE = 2**14  # whose sketches are held as seekers'


class Seekers(NamedTuple):
    """Who seeks neighbours.

    Attributes:
        rows: (n, n_features) float32.
        words: Their sketches, (n, n_words).
        norms: Squared norms that go with these, (n,).
        left_out: Group of members that does not count for each, (n,); or empty.
    """

    rows: Float32Array
    words: AnyArray
    norms: Float64Array
    left_out: Int64Array


class Members(NamedTuple):
    """Who can be found.

    Attributes:
        rows: (n, n_features) float32.
        groups: Group of each, (n,).
        names: Which row stands in each place of the panels, (n,).
        panels: Their sketches, (n_panels, n_words, COLUMNS).
        starts: -(1 - g) |b|^2 / 2, (n_panels, COLUMNS); -inf where nobody stands.
        radii: Of the panels' centres, (n_panels,); or empty, where there are none.
        centre_panels, centre_starts: Sketches of these, as of members.
    """

    rows: Float32Array
    groups: Int64Array
    names: Int64Array
    panels: AnyArray
    starts: Float32Array
    radii: Float64Array
    centre_panels: AnyArray
    centre_starts: Float32Array


class Found(NamedTuple):
    """The nearest members so far.

    Attributes:
        best: Squared distances, ascending, (n_seekers, n_neighbors).
        places: Whose these are, (n_seekers, n_neighbors).
    """

    best: Float64Array
    places: Int64Array


def empty_members(
    rows: Float32Array, groups: Int64Array, sketcher: Sketcher
) -> Members:
    """Return panels for all ``rows``, in their order, in which nobody stands yet."""
    none, no_starts = _empty_panels(0, sketcher)
    names, radii = np.arange(len(rows)), np.empty(0)
    panels, starts = _empty_panels(len(rows), sketcher)
    return Members(rows, groups, names, panels, starts, radii, none, no_starts)


def members_in_leaves(
    rows: Float32Array,
    groups: Int64Array,
    sketcher: Sketcher,
    pool: Executor,
    n_threads: int,
) -> Members:
    """Return all ``rows`` as members, a leaf in each panel."""
    names, centres, radii = grow_leaves(rows)
    panels = _empty_panels(len(rows), sketcher)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[names[first : first + ROWS_AT_ONCE]]
        words, norms = sketcher.sketch(some, pool, n_threads)
        _admit(*panels, first, words, norms, sketcher)
    centre_panels = _empty_panels(len(centres), sketcher)
    words, norms = sketcher.sketch(centres, pool, n_threads)
    _admit(*centre_panels, 0, words, norms, sketcher)
    return Members(rows, groups, names, *panels, radii, *centre_panels)


def admit(
    members: Members,
    first: int,
    words: AnyArray,
    norms: Float64Array,
    sketcher: Sketcher,
) -> None:
    """Let the members from ``first`` on stand in their panels."""
    _admit(members.panels, members.starts, first, words, norms, sketcher)


def _empty_panels(n_members: int, sketcher: Sketcher) -> tuple[AnyArray, Float32Array]:
    n_panels = -(-n_members // COLUMNS)
    panels = np.zeros((n_panels, sketcher.n_words, COLUMNS), sketcher.word)
    return panels, np.full((n_panels, COLUMNS), -np.inf, np.float32)


def _admit(
    panels: AnyArray,
    starts: Float32Array,
    first: int,
    words: AnyArray,
    norms: Float64Array,
    sketcher: Sketcher,
) -> None:
    panel, column = np.divmod(first + np.arange(len(words)), COLUMNS)
    panels[panel, :, column] = sketcher.as_members(words)
    starts[panel, column] = -half_norms(norms, sketcher.slack)


def keep_nearest(
    asking: Int64Array,
    since: Int64Array,
    seekers: Seekers,
    members: Members,
    n_members: int,
    found: Found,
    slack: float,
    pool: Executor,
    n_threads: int,
) -> None:
    """Update what some seekers have found.

    Args:
        asking: Which seekers, (n_asking,).
        since: The first member that each has not met, (n_asking,), best sorted.
        seekers: All seekers.
        members: All members.
        n_members: How many of these to meet.
        found: What all seekers have found; written to.
        slack: g of the promises.
        pool: Threads to use.
        n_threads: How many.
    """
    n_panels = -(-n_members // COLUMNS)

    def meet(begin: int, end: int) -> None:
        mine = slice(begin, end)
        _meet(asking[mine], since[mine], seekers, members, n_panels, found, slack)

    n_slices = 1 if n_threads == 1 else n_threads * SLICES_PER_THREAD
    run_in_slices(pool, n_slices, len(asking), meet, grain=ROWS)


@compiled()
def _meet(
    asking: Int64Array,
    since: Int64Array,
    seekers: Seekers,
    members: Members,
    n_panels: int,
    found: Found,
    slack: float,
) -> None:  # pragma: no cover - compiled
    """Run ``keep_nearest`` on one thread, some panels of seekers at a time."""
    words = seekers.words
    packed = np.zeros((PANELS, words.shape[1], ROWS), words.dtype)
    bars = np.empty((PANELS, ROWS), np.float32)
    strip = np.empty((ROWS, LONGEST_STRIP * COLUMNS), np.float32)
    marks = np.empty((ROWS, LONGEST_STRIP), np.int32)
    last = found.best.shape[1] - 1
    n_leaves = len(members.radii)
    wanted = np.ones((PANELS, n_panels), np.bool_)
    promised = np.empty((ROWS, len(members.centre_panels) * COLUMNS), np.float32)
    ignored = np.empty((ROWS, len(members.centre_panels)), np.int32)
    for begin in range(0, len(asking), PANELS * ROWS):
        some = asking[begin : begin + PANELS * ROWS]
        bars[:] = np.inf  # nobody seeks in rows that stay empty
        for place in range(len(some)):
            panel, row = divmod(place, ROWS)
            i = some[place]
            for k in range(words.shape[1]):
                packed[panel, k, row] = words[i, k]
            bars[panel, row] = _low_bar(seekers.norms[i], found.best[i, last], slack)
        n_seeker_panels = -(-len(some) // ROWS)
        for panel in range(n_seeker_panels if n_leaves else 0):
            for k in range(len(members.centre_panels)):
                promise_tile(
                    packed, panel, members.centre_panels, k, members.centre_starts,
                    bars, promised, ignored, k,
                )  # fmt: skip
            mine = some[panel * ROWS : (panel + 1) * ROWS]
            # Everybody's nearest leaf first: it holds a good neighbour or the best.
            wanted[panel] = False
            for row in range(len(mine)):
                leaf = int(np.argmax(promised[row, :n_leaves]))
                if not wanted[panel, leaf]:
                    wanted[panel, leaf] = True
                    promise_tile(
                        packed, panel, members.panels, leaf, members.starts, bars,
                        strip, marks, 0,
                    )  # fmt: skip
                    _measure(
                        strip, marks, 1, leaf * COLUMNS, mine, bars[panel], seekers,
                        members, found, slack,
                    )  # fmt: skip
            _want_leaves(promised, mine, wanted[panel], seekers, members, found, slack)
        first, width = since[begin : begin + len(some)].min() // COLUMNS, 0
        while first + width < n_panels:
            first += width
            width = min(max(FIRST_STRIP, 4 * width), LONGEST_STRIP, n_panels - first)
            for panel in range(n_seeker_panels):
                any_above = False
                for k in range(width):
                    if not wanted[panel, first + k]:
                        marks[:, k] = 0
                        continue
                    any_above |= promise_tile(
                        packed, panel, members.panels, first + k, members.starts, bars,
                        strip, marks, k,
                    )  # fmt: skip
                if any_above:
                    mine = some[panel * ROWS : (panel + 1) * ROWS]
                    _measure(
                        strip, marks, width, first * COLUMNS, mine,
                        bars[panel], seekers, members, found, slack,
                    )  # fmt: skip


@compiled()
def _measure(
    strip: Float32Array,
    marks: Int32Array,
    width: int,
    first: int,
    asking: Int64Array,
    bars: Float32Array,
    seekers: Seekers,
    members: Members,
    found: Found,
    slack: float,
) -> None:  # pragma: no cover - compiled
    """Measure the pairs of a strip whose promise exceeds the bar."""
    for row in range(len(asking)):
        i = asking[row]
        best = -1
        for tile in range(width):
            if marks[row, tile]:
                for column in range(tile * COLUMNS, (tile + 1) * COLUMNS):
                    if best < 0 or strip[row, column] > strip[row, best]:
                        best = column
        if best < 0:
            continue
        # The best promise first: it raises the bar, and few others still clear it.
        bars[row] = _consider(i, first + best, seekers, members, found, slack)
        for tile in range(width):
            if marks[row, tile]:
                for column in range(tile * COLUMNS, (tile + 1) * COLUMNS):
                    if strip[row, column] > bars[row] and column != best:
                        place = first + column
                        bars[row] = _consider(i, place, seekers, members, found, slack)


@compiled()
def _want_leaves(
    promised: Float32Array,
    asking: Int64Array,
    wanted: BoolArray,
    seekers: Seekers,
    members: Members,
    found: Found,
    slack: float,
) -> None:  # pragma: no cover - compiled
    """Say which leaves may hold a nearer member; those wanted so far have been met."""
    hopeful = np.zeros(len(members.radii), np.bool_)
    for row in range(len(asking)):
        i = asking[row]
        reach = np.sqrt(found.best[i, -1])
        # What promises leave of the squared distance to a centre, at least.
        base = (1.0 - slack) * seekers.norms[i] - 2.0 * UNDERFLOW
        for leaf in range(len(hopeful)):
            limit = (members.radii[leaf] + reach) * MARGIN
            hopeful[leaf] |= base - 2.0 * promised[row, leaf] <= limit * limit
    for leaf in range(len(hopeful)):
        wanted[leaf] = hopeful[leaf] and not wanted[leaf]


@compiled()
def _consider(
    i: int, place: int, seekers: Seekers, members: Members, found: Found, slack: float
) -> Any:  # pragma: no cover - compiled
    """Measure a pair, keep the member if it is near enough, and return the bar."""
    j = members.names[place]
    if not len(seekers.left_out) or members.groups[j] != seekers.left_out[i]:
        distance = squared_distance(seekers.rows[i], members.rows[j])
        _insert(distance, j, found.best[i], found.places[i])
    return _low_bar(seekers.norms[i], found.best[i, -1], slack)


@compiled(inline="always")
def _low_bar(
    norm: float, nearest: float, slack: float
) -> Any:  # pragma: no cover - compiled
    """Return the bar as float32 that is not above it."""
    exact = bar(norm, nearest, slack)
    return np.float32(exact - 2.0 * UNIT_ROUNDOFF * abs(exact))


@compiled()
def products(
    words: AnyArray, panels: AnyArray, n_columns: int
) -> Float32Array:  # pragma: no cover - compiled
    """Return all products of sketches and panels, (n, n_columns) float32."""
    n_rows, n_words = words.shape
    result = np.empty((n_rows, n_columns), np.float32)
    packed = np.zeros((1, n_words, ROWS), words.dtype)
    starts = np.zeros((len(panels), COLUMNS), np.float32)
    bars = np.full((1, ROWS), np.inf, np.float32)
    strip = np.empty((ROWS, len(panels) * COLUMNS), np.float32)
    marks = np.empty((ROWS, len(panels)), np.int32)
    for begin in range(0, n_rows, ROWS):
        n_here = min(ROWS, n_rows - begin)
        for row in range(n_here):
            packed[0, :, row] = words[begin + row]
        for panel in range(len(panels)):
            promise_tile(packed, 0, panels, panel, starts, bars, strip, marks, panel)
        result[begin : begin + n_here] = strip[:n_here, :n_columns]
    return result


@compiled(inline="always")
def _insert(
    distance: float, place: int, best: Float64Array, places: Int64Array
) -> None:  # pragma: no cover - compiled
    """Insert a neighbour where it belongs; equal distances stand by index."""
    position = best.shape[0]
    while position > 0 and (
        distance < best[position - 1]
        or (distance == best[position - 1] and place < places[position - 1])
    ):
        position -= 1
    if position == best.shape[0]:
        return
    for k in range(best.shape[0] - 1, position, -1):
        best[k] = best[k - 1]
        places[k] = places[k - 1]
    best[position] = distance
    places[position] = place
