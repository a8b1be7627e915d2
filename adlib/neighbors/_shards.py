"""One greedy coreset over points that lie in several places: the *shards*.

A shard holds some of the points. It is asked three things (``Protocol``): to take the
rows of new picks, for its farthest points, and for the rows of some of its points. The
``Coordinator`` merges what all of them answer. It holds no points but those picked,
and knows nothing of where shards are: threads here, Dask's workers in
``adlib.distributed``.

Why the picks are those of one machine: each shard's candidates beat all its other
points, whose best is the shard's *limit*. So of the merged candidates those that beat
every limit are the farthest of all points, as the block of one selection is, and picks
among them are exact until their best falls to the limit (``_cpu.coreset``). Distances
have the same bits wherever they are measured, and ties go to the lowest index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from adlib._threads import Threads, at_most, available_threads
from adlib._typing import BoolArray, Float32Array, Float64Array, Int64Array
from adlib.neighbors._cpu import coreset as on_cpu
from adlib.neighbors._points import Candidates, Report

BLOCK = on_cpu.BLOCK  # candidates a round, of all shards together
SPARE = 2  # times its share of the block that each shard offers


class Shard(Protocol):
    """What holds a part of the points; ``_cpu`` and ``_torch`` have one each."""

    @property
    def n_picked(self) -> int:
        """How many picks it knows."""

    def take(self, rows: Float32Array, own: Int64Array) -> None:
        """Take the rows of the next picks; ``own`` are those among its points."""

    def farthest(self, count: int) -> Candidates:
        """Return the ``count`` farthest points that are not picked."""

    def rows(self, indices: Int64Array) -> Float32Array:
        """Return some of the points."""


class News(NamedTuple):
    """What a shard is told in each round."""

    n_before: int  # picks before these
    rows: Float32Array  # of the picks since
    own: Int64Array  # which points of the shard itself are among them
    n_wanted: int  # candidates


# Sends each shard a request, or None: nothing, to the method of that name in this
# module, with the shard before it; returns the answers in order.
Ask = Callable[[str, Sequence[Any]], list[Any]]


def new_shard(
    points: Float32Array, size: int, device: str = "cpu", scratch: Path | None = None
) -> Shard:
    """Return a shard of some points for a selection of ``size`` picks in all.

    On a CPU, what grows with the points is in files of the folder ``scratch``, if any.
    """
    if device == "cpu":
        return on_cpu.Shard(points, size, scratch)
    from adlib.neighbors._torch import coreset as on_torch  # noqa: PLC0415

    return on_torch.Shard(points, size, device)


def candidates_after(shard: Shard, news: News) -> Candidates | int:
    """Tell a shard of new picks, and return its candidates.

    One that was made again meanwhile does not know earlier picks; it answers how many
    it does know, and must be told the rest. Picks that it knows count once.
    """
    known = shard.n_picked - news.n_before
    if known < 0:
        return shard.n_picked
    if known < len(news.rows):
        shard.take(news.rows[known:], news.own)
    return shard.farthest(news.n_wanted)


def rows_of(shard: Shard, indices: Int64Array) -> Float32Array:
    """Return some of a shard's points."""
    return shard.rows(indices)


class Numbers:
    """Which points of all a shard holds: runs of one or more numbers that follow."""

    def __init__(self, firsts: Int64Array, lengths: Int64Array) -> None:
        """Take where each run begins, ascending, and how long it is."""
        self._firsts = firsts
        self._places = np.concatenate([[0], np.cumsum(lengths)])
        self.n_points = int(self._places[-1])

    @classmethod
    def of(cls, numbers: Int64Array) -> Numbers:
        """Return the runs of ascending numbers."""
        begins = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
        return cls(numbers[begins], np.diff(begins, append=len(numbers)))

    def at(self, indices: Int64Array) -> Int64Array:
        """Return the numbers of a shard's points."""
        run = np.searchsorted(self._places, indices, side="right") - 1
        numbers: Int64Array = self._firsts[run] + indices - self._places[run]
        return numbers

    def find(self, numbers: Int64Array) -> tuple[BoolArray, Int64Array]:
        """Return which numbers the shard holds, and the indices of those."""
        run = np.searchsorted(self._firsts, numbers, side="right") - 1
        indices = self._places[run] + numbers - self._firsts[run]
        held = (run >= 0) & (indices < self._places[run + 1])
        return held, indices[held]


class Coordinator:
    """Selects over shards. It can go on from picks that were made before.

    Attributes:
        picked: Numbers of the picks in order, (size,) int64; the first ``n_picked``
            count.
        rows: Their rows, (size, n_features) float32.
        n_rounds: How often all shards were asked for candidates.
        n_bytes: What was sent to and came from shards, without an engine's own words.
    """

    def __init__(
        self,
        ask: Ask,
        shards: Sequence[Numbers],
        n_features: int,
        size: int,
        *,
        block: int = BLOCK,
    ) -> None:
        self._ask, self._shards, self._block = ask, shards, block
        self._told = [0] * len(shards)  # picks
        self._count = min(block, -(-SPARE * block // len(shards)))
        self._seen = np.empty(0, np.int64)  # of the block before, whose rows are here
        self._seen_rows = np.empty((0, n_features), np.float32)
        self._picker: on_cpu.Picker | None = None
        self.picked = np.empty(size, np.int64)
        self.rows = np.empty((size, n_features), np.float32)
        self.n_picked = self.n_rounds = self.n_bytes = 0

    def select(self, picks: Int64Array, report: Report) -> None:
        """Select all points, ``picks`` first: the start, or all that are known."""
        self._add(picks, self.rows_at(picks))
        while self.n_picked < len(self.picked):
            candidates = self._candidates()
            rows = self._rows_of_block(candidates.indices)
            if self._picker is None:
                self._picker = on_cpu.Picker(rows)
            picked, farthest = self._picker.pick_inside(
                rows, candidates, len(self.picked) - self.n_picked
            )
            self._add(picked, rows[np.searchsorted(candidates.indices, picked)])
            report(len(picked), float(np.sqrt(farthest)))

    def rows_at(self, numbers: Int64Array) -> Float32Array:
        """Return the rows of points, from the shards that hold them."""
        rows = np.empty((len(numbers), self.rows.shape[1]), np.float32)
        places = [shard.find(numbers) for shard in self._shards]
        wanted = [indices if len(indices) else None for _, indices in places]
        answers = self._ask(rows_of.__name__, wanted)
        for (held, _), sent, some in zip(places, wanted, answers, strict=True):
            if sent is not None:
                rows[held] = some
                self.n_bytes += sent.nbytes + some.nbytes
        return rows

    def _add(self, picks: Int64Array, rows: Float32Array) -> None:
        last = self.n_picked + len(picks)
        self.picked[self.n_picked : last] = picks
        self.rows[self.n_picked : last] = rows
        self.n_picked = last

    def _news(self, shard: int) -> News:
        """Return the picks that a shard was not told yet."""
        told = self._told[shard]
        _, own = self._shards[shard].find(self.picked[told : self.n_picked])
        rows = self.rows[told : self.n_picked]
        return News(told, rows, own, self._count)

    def _candidates(self) -> Candidates:
        """Return the farthest points by number, and the best of others."""
        found: list[Candidates | None] = [None] * len(self._shards)
        self.n_rounds += 1
        while any(one is None for one in found):
            waiting = [one is None for one in found]
            news = [self._news(i) if wait else None for i, wait in enumerate(waiting)]
            answers = self._ask(candidates_after.__name__, news)
            for i, (sent, answer) in enumerate(zip(news, answers, strict=True)):
                if sent is None:
                    continue
                self.n_bytes += sent.rows.nbytes + sent.own.nbytes
                if isinstance(answer, int):  # it was made again
                    self._told[i] = answer
                    continue
                found[i], self._told[i] = answer, self.n_picked
                self.n_bytes += answer.indices.nbytes + answer.values.nbytes
        parts = [one for one in found if one is not None]
        return merged(parts, self._shards, self._block)

    def _rows_of_block(self, numbers: Int64Array) -> Float32Array:
        """Return rows of a block; some are of the block before, and need no request."""
        rows = np.empty((len(numbers), self.rows.shape[1]), np.float32)
        places = np.searchsorted(self._seen, numbers)
        known = np.isin(numbers, self._seen)
        rows[known] = self._seen_rows[places[known]]
        if not known.all():
            rows[~known] = self.rows_at(numbers[~known])
        self._seen, self._seen_rows = numbers, rows
        return rows


def merged(
    parts: Sequence[Candidates], shards: Sequence[Numbers], block: int
) -> Candidates:
    """Return the candidates of all shards that beat all other points, by number."""
    numbers = np.concatenate(
        [of.at(part.indices) for part, of in zip(parts, shards, strict=True)]
    )
    values: Float64Array = np.concatenate([part.values for part in parts])
    limits = [
        (part.limit, -int(of.at(np.array([part.limit_index]))[0]))
        for part, of in zip(parts, shards, strict=True)
        if part.limit >= 0.0
    ]
    order = np.lexsort((numbers, -values))  # the farthest first, then the lowest number
    if len(order) > block:
        first = order[block]
        limits.append((float(values[first]), -int(numbers[first])))
    kept = order[:block]
    limit, limit_index = -np.inf, 0
    if limits:
        limit, lowest = max(limits)
        limit_index = -lowest
        tied = (values[kept] == limit) & (numbers[kept] < limit_index)
        kept = kept[(values[kept] > limit) | tied]
    kept = kept[np.argsort(numbers[kept])]
    return Candidates(numbers[kept], values[kept], limit, limit_index)


def select_on(
    devices: Sequence[str],
    points: Float32Array,
    size: int,
    start: int,
    report: Report,
) -> Int64Array:
    """Select from ``start`` on, each device holding a part of the points.

    One thread waits for each device; on CPUs they share the threads there are.
    """
    edges = np.linspace(0, len(points), len(devices) + 1).astype(np.int64)
    spans = [(a, b) for a, b in pairwise(edges.tolist()) if a < b]
    n_threads = max(1, available_threads() // len(spans))
    with Threads(len(spans)) as pool:

        def on_each(work: Callable[[int], Any]) -> list[Any]:
            def alone(i: int) -> Any:
                with at_most(n_threads):
                    return work(i)

            return list(pool.map(alone, range(len(spans))))

        shards: list[Shard] = on_each(
            lambda i: new_shard(points[slice(*spans[i])], size, devices[i])
        )

        def ask(method: str, requests: Sequence[Any]) -> list[Any]:
            answer = METHODS[method]
            return on_each(
                lambda i: (
                    None if requests[i] is None else answer(shards[i], requests[i])
                )
            )

        numbers = [Numbers(np.array([a]), np.array([b - a])) for a, b in spans]
        coordinator = Coordinator(ask, numbers, points.shape[1], size)
        coordinator.select(np.array([start]), report)
    return coordinator.picked


METHODS: dict[str, Callable[[Shard, Any], Any]] = {
    work.__name__: work for work in (candidates_after, rows_of)
}
