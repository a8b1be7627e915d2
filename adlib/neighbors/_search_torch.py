"""Exact nearest neighbours with torch: the twin of ``_search_cpu`` for GPUs.

A product proposes a few more candidates than are asked for, float64 sums order them,
and the last candidate's promise certifies that nobody else could be nearer. What cannot
be certified is measured in full.
"""

from __future__ import annotations

import torch

from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._points import Points
from adlib.neighbors._promises_torch import Promises, squared_distances, to_device

TILE_QUERIES, TILE_BANK = 2048, 2**14
SPARE = 8  # candidates beyond those asked for


class ExactSearchTorch:
    """Nearest neighbours by squared distance; ties go to the lowest index."""

    def __init__(self, points: Points, groups: Int64Array, device: str) -> None:
        self._device = device
        rows = to_device(points.rows, device)
        self._promises = Promises(rows, to_device(points.norms, device))
        self._groups = to_device(groups, device)

    @torch.inference_mode()
    def kneighbors(
        self, queries: Points, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        found = []
        for first in range(0, len(queries.rows), TILE_QUERIES):
            tile = slice(first, first + TILE_QUERIES)
            rows = to_device(queries.rows[tile], self._device)
            norms = to_device(queries.norms[tile], self._device)
            skipped = None
            if left_out is not None:
                skipped = to_device(left_out[tile], self._device)
            found.append(self._search(rows, norms, n_neighbors, skipped))
        distances = torch.cat([near for near, _ in found]).cpu().numpy()
        indices = torch.cat([place for _, place in found]).cpu().numpy()
        return distances, indices

    def _search(
        self,
        rows: torch.Tensor,
        norms: torch.Tensor,
        n_neighbors: int,
        skipped: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        promised, candidates = self._propose(rows, n_neighbors + SPARE, skipped)
        distances = self._measure(rows, candidates)
        distances = distances.masked_fill(promised == -torch.inf, torch.inf)
        distances, candidates = _nearest(distances, candidates, n_neighbors)
        if promised.shape[1] < len(self._groups):
            bars = self._promises.bars(norms, distances[:, -1])
            unsure = torch.nonzero(promised[:, -1] > bars).T[0]
            for row in unsure.tolist():
                own = None if skipped is None else skipped[row]
                near, place = self._measure_all(rows[row], n_neighbors, own)
                distances[row], candidates[row] = near, place
        return distances, candidates

    def _propose(
        self, rows: torch.Tensor, n_candidates: int, skipped: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best promises, descending, and the bank rows that make them."""
        n_bank = len(self._groups)
        best = rows.new_empty((len(rows), 0))
        places = torch.empty((len(rows), 0), dtype=torch.int64, device=rows.device)
        for first in range(0, n_bank, TILE_BANK):
            members = slice(first, min(first + TILE_BANK, n_bank))
            promised = self._promises.of(rows, members)
            if skipped is not None:
                same = self._groups[members][None, :] == skipped[:, None]
                promised = promised.masked_fill(same, -torch.inf)
            top, place = promised.topk(min(n_candidates, promised.shape[1]), dim=1)
            best = torch.cat([best, top], dim=1)
            places = torch.cat([places, place + first], dim=1)
            best, kept = best.topk(min(n_candidates, best.shape[1]), dim=1)
            places = places.gather(1, kept)
        return best, places

    def _measure(self, rows: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Return float64 squared distances from rows to their candidates."""
        columns = [
            squared_distances(rows, self._promises.rows[candidates[:, column]])
            for column in range(candidates.shape[1])
        ]
        return torch.stack(columns, dim=1)

    def _measure_all(
        self, row: torch.Tensor, n_neighbors: int, skipped: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Search the whole bank for one query in float64."""
        bank = self._promises.rows
        distances = squared_distances(row.expand_as(bank), bank)
        if skipped is not None:
            distances = distances.masked_fill(self._groups == skipped, torch.inf)
        places = torch.arange(len(bank), device=bank.device)
        near, place = _nearest(distances[None], places[None], n_neighbors)
        return near[0], place[0]


def _nearest(
    distances: torch.Tensor, places: torch.Tensor, n_neighbors: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nearest by distance, then by index, ascending."""
    places, by_index = places.sort(dim=1)
    distances, by_distance = distances.gather(1, by_index).sort(dim=1, stable=True)
    places = places.gather(1, by_distance)
    return distances[:, :n_neighbors], places[:, :n_neighbors]
