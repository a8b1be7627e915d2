"""Exact nearest neighbours with torch: the twin of ``_search_cpu`` for GPUs.

Coarse products propose a few more candidates than are asked for, float64 sums order
them, and the last candidate's promise certifies that nobody else could be nearer: see
``_promises_torch``. Queries that cannot be certified are asked again, together, and
everybody who could be as near as their candidates is measured. The host waits for the
device once for each tile of queries, and once for each part of those asked again.
"""

from __future__ import annotations

import torch

from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._points import Points
from adlib.neighbors._promises_torch import (
    Promises,
    Seekers,
    pair_distances,
    some,
    to_device,
    undisturbed,
)

TILE_QUERIES, TILE_BANK = 2048, 2**14
SPARE = 8  # candidates beyond those asked for
PROMISES_AT_ONCE = 2**25  # of queries asked again, 128 MiB


class ExactSearchTorch:
    """Nearest neighbours by squared distance; ties go to the lowest index."""

    @undisturbed()
    def __init__(self, points: Points, groups: Int64Array, device: str) -> None:
        self._device = device
        self._rows = to_device(points.rows, device)
        self._promises = Promises(self._rows)
        self._bank = self._promises.seekers(self._rows)
        self._groups = to_device(groups, device)

    @undisturbed()
    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        found = []
        for first in range(0, len(queries.rows), TILE_QUERIES):
            tile = slice(first, first + TILE_QUERIES)
            rows = to_device(queries.rows[tile], self._device)
            skipped = None
            if left_out is not None:
                skipped = to_device(left_out[tile], self._device)
            found.append(self._search(rows, n_neighbors, skipped))
        distances = torch.cat([near for near, _ in found]).cpu().numpy()
        indices = torch.cat([place for _, place in found]).cpu().numpy()
        return distances, indices

    def _search(
        self, rows: torch.Tensor, n_neighbors: int, skipped: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seekers = self._promises.seekers(rows)
        promised, candidates = self._propose(seekers, n_neighbors + SPARE, skipped)
        distances = self._measure(rows, candidates)
        distances = distances.masked_fill(promised == -torch.inf, torch.inf)
        distances, candidates = _nearest(distances, candidates, n_neighbors)
        if promised.shape[1] < len(self._groups):
            bars = self._promises.bars(seekers.norms, distances[:, -1])
            unsure = torch.nonzero(promised[:, -1] > bars)[:, 0]
            at_once = max(1, PROMISES_AT_ONCE // len(self._groups))
            for first in range(0, len(unsure), at_once):
                part = unsure[first : first + at_once]
                own = None if skipped is None else skipped[part]
                distances[part], candidates[part] = self._measure_all(
                    rows[part], some(seekers, part), bars[part], n_neighbors, own
                )
        return distances, candidates

    def _propose(
        self, seekers: Seekers, n_candidates: int, skipped: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best promises, descending, and the bank rows that make them."""
        n_bank, n_queries = len(self._groups), len(seekers.norms)
        best = self._rows.new_empty((n_queries, 0))
        places = self._groups.new_empty((n_queries, 0))
        for first in range(0, n_bank, TILE_BANK):
            members = slice(first, min(first + TILE_BANK, n_bank))
            promised = self._promise(seekers, members, skipped)
            top, place = promised.topk(min(n_candidates, promised.shape[1]), dim=1)
            best = torch.cat([best, top], dim=1)
            places = torch.cat([places, place + first], dim=1)
            best, kept = best.topk(min(n_candidates, best.shape[1]), dim=1)
            places = places.gather(1, kept)
        return best, places

    def _promise(
        self, seekers: Seekers, members: slice, skipped: torch.Tensor | None
    ) -> torch.Tensor:
        """Return promises of some of the bank; nothing of those left out."""
        promised = self._promises.of(seekers, some(self._bank, members))
        if skipped is not None:
            same = self._groups[members][None, :] == skipped[:, None]
            promised.masked_fill_(same, -torch.inf)
        return promised

    def _measure(self, rows: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Return float64 squared distances from rows to their candidates."""
        own = torch.arange(len(rows), device=rows.device)[:, None]
        pairs = own.expand_as(candidates).reshape(-1), candidates.reshape(-1)
        distances = pair_distances(rows, pairs[0], self._rows, pairs[1])
        return distances.view_as(candidates)

    def _measure_all(
        self,
        rows: torch.Tensor,
        seekers: Seekers,
        bars: torch.Tensor,
        n_neighbors: int,
        skipped: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Measure whoever clears the bars, as the best candidates so far do."""
        promised = self._promise(seekers, slice(None), skipped)
        i, j = torch.nonzero(promised > bars[:, None]).unbind(dim=1)
        return _nearest_of_pairs(
            i, j, pair_distances(rows, i, self._rows, j), len(rows), n_neighbors
        )


def _nearest(
    distances: torch.Tensor, places: torch.Tensor, n_neighbors: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nearest by distance, then by index, ascending."""
    places, by_index = places.sort(dim=1)
    distances, by_distance = distances.gather(1, by_index).sort(dim=1, stable=True)
    places = places.gather(1, by_distance)
    return distances[:, :n_neighbors], places[:, :n_neighbors]


def _nearest_of_pairs(
    i: torch.Tensor,
    j: torch.Tensor,
    distances: torch.Tensor,
    n_rows: int,
    n_neighbors: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nearest of each row, of pairs that ascend by i, then by j.

    Every row needs ``n_neighbors`` pairs at least.
    """
    distances, by_distance = distances.sort(stable=True)
    i, by_row = i[by_distance].sort(stable=True)
    order = by_distance[by_row]
    first = torch.searchsorted(i, torch.arange(n_rows, device=i.device))
    wanted = first[:, None] + torch.arange(n_neighbors, device=i.device)
    return distances[by_row][wanted], j[order][wanted]
