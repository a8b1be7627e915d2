"""Let seekers meet members: promises propose who is near, the fixed-order sum decides.

Members stand in panels of COLUMNS, one word of all of them side by side, as the tiles
read them; seekers are packed into panels of ROWS when their turn comes.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from adlib._threads import run_in_slices
from adlib._typing import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array
from adlib.neighbors._distances import (
    UNIT_ROUNDOFF,
    bar,
    half_norms,
    squared_distance,
)
from adlib.neighbors._sketch import Sketcher
from adlib.neighbors._tile import COLUMNS, ROWS, promise_tile

NOBODY = -1  # the place of a neighbour not found yet
# Panels of members whose promises are compared before the best of them is measured: few
# at first, when a seeker's bar lets everybody through.
FIRST_STRIP, LONGEST_STRIP = 4, 64
PANELS = 8  # of seekers, which meet a panel of members while it is in the nearest cache
SLICES_PER_THREAD = 8  # so that a thread that is done early finds more to do


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
        panels: Their sketches, (n_panels, n_words, COLUMNS).
        starts: -(1 - g) |b|^2 / 2, (n_panels, COLUMNS); -inf where nobody stands.
        groups: Group of each, (n,).
    """

    rows: Float32Array
    panels: AnyArray
    starts: Float32Array
    groups: Int64Array


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
    """Return panels for all ``rows`` in which nobody stands yet."""
    n_panels = -(-len(rows) // COLUMNS)
    panels = np.zeros((n_panels, sketcher.n_words, COLUMNS), sketcher.word)
    starts = np.full((n_panels, COLUMNS), -np.inf, np.float32)
    return Members(rows, panels, starts, groups)


def admit(
    members: Members,
    first: int,
    words: AnyArray,
    norms: Float64Array,
    sketcher: Sketcher,
) -> None:
    """Let the members from ``first`` on stand in their panels."""
    places = first + np.arange(len(words))
    panel, column = np.divmod(places, COLUMNS)
    members.panels[panel, :, column] = sketcher.as_members(words)
    members.starts[panel, column] = -half_norms(norms, sketcher.slack)


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


@njit(cache=True, nogil=True)
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
    for begin in range(0, len(asking), PANELS * ROWS):
        some = asking[begin : begin + PANELS * ROWS]
        bars[:] = np.inf  # nobody seeks in rows that stay empty
        for place in range(len(some)):
            panel, row = divmod(place, ROWS)
            i = some[place]
            for k in range(words.shape[1]):
                packed[panel, k, row] = words[i, k]
            bars[panel, row] = _low_bar(seekers.norms[i], found.best[i, last], slack)
        met = since[begin : begin + len(some)].min() // COLUMNS
        first, width = met, 0
        while first + width < n_panels:
            first += width
            width = min(max(FIRST_STRIP, 4 * width), LONGEST_STRIP, n_panels - first)
            for panel in range(-(-len(some) // ROWS)):
                any_above = False
                for k in range(width):
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


@njit(cache=True, nogil=True)
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
                        j = first + column
                        bars[row] = _consider(i, j, seekers, members, found, slack)


@njit(cache=True, nogil=True)
def _consider(
    i: int, j: int, seekers: Seekers, members: Members, found: Found, slack: float
) -> Any:  # pragma: no cover - compiled
    """Measure a pair, keep the member if it is near enough, and return the bar."""
    if not len(seekers.left_out) or members.groups[j] != seekers.left_out[i]:
        distance = squared_distance(seekers.rows[i], members.rows[j])
        _insert(distance, j, found.best[i], found.places[i])
    return _low_bar(seekers.norms[i], found.best[i, -1], slack)


@njit(cache=True, nogil=True, inline="always")
def _low_bar(
    norm: float, nearest: float, slack: float
) -> Any:  # pragma: no cover - compiled
    """Return the bar as float32 that is not above it."""
    exact = bar(norm, nearest, slack)
    return np.float32(exact - 2.0 * UNIT_ROUNDOFF * abs(exact))


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True, inline="always")
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
