"""Exact nearest neighbours with torch: the twin of ``_cpu.search`` for GPUs.

The most similar entries give an upper bound of the distances to find. Every entry whose
lower bound is not above it is measured in float64, so the answer is that of measuring
every pair: see ``bounds``. The host waits for the device once for each tile of queries,
to learn how many pairs there are to measure.
"""

from __future__ import annotations

import torch

from adlib._torch import undisturbed
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib.neighbors._torch.bounds import Sketcher
from adlib.neighbors._torch.distances import pair_distances, to_device

MOST_QUERIES = 2**13  # of a tile
SIMILARITIES_AT_ONCE = 2**26  # 256 MiB


class ExactSearch:
    """Nearest neighbours in a bank whose rows are in groups; ties: lowest index.

    Memory beyond the bank and its sketches is that of a tile: 256 MiB of similarities,
    as much of differences where Triton is not used, and 32 bytes for each pair that is
    measured: a few a query, unless entries lie so near each other that the bounds
    cannot tell them apart.
    """

    @undisturbed()
    def __init__(self, points: Float32Array, groups: Int64Array, device: str) -> None:
        self._device = device
        self._rows = to_device(points, device)
        self._sketcher = Sketcher(self._rows)
        sketches = self._sketcher.sketch(self._rows)
        self._bank = self._sketcher.as_database(sketches)
        self._groups = to_device(groups, device)

    @undisturbed()
    def kneighbors(
        self, queries: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        at_once = min(MOST_QUERIES, max(1, SIMILARITIES_AT_ONCE // len(self._rows)))
        found = []
        for first in range(0, len(queries), at_once):
            tile = slice(first, first + at_once)
            rows = to_device(queries[tile], self._device)
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
        """Return what ``kneighbors`` does for a tile of queries."""
        queries = self._sketcher.sketch(rows)
        similarities = self._sketcher.similarities(queries, self._bank)
        if skipped is not None:
            same = self._groups == skipped[:, None]
            similarities.masked_fill_(same, -torch.inf)
        # n_neighbors entries are no farther than the largest of their upper bounds.
        best, indices = _highest(similarities, n_neighbors)
        bounds = self._sketcher.upper_bounds(queries, self._bank, indices, best)
        farthest = bounds.amax(dim=1)
        thresholds = self._sketcher.pruning_thresholds(queries.norms, farthest)
        i, j = torch.nonzero(similarities > thresholds[:, None]).unbind(dim=1)
        distances = pair_distances(rows, i, self._rows, j)
        return _nearest_of_pairs(i, j, distances, len(rows), n_neighbors)


def _highest(similarities: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each query's n highest similarities and their indices, (n_queries, n).

    ``max`` reads the similarities once; ``topk`` reads them many times.
    """
    if n == 1:
        return similarities.max(dim=1, keepdim=True)
    return similarities.topk(n, dim=1, sorted=False)


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
    if n_neighbors == 1:  # two passes instead of two sorts
        nearest = distances.new_full((n_rows,), torch.inf)
        nearest.scatter_reduce_(0, i, distances, "amin")
        places = torch.where(distances == nearest[i], j, torch.iinfo(j.dtype).max)
        lowest = torch.full_like(nearest, torch.iinfo(j.dtype).max, dtype=j.dtype)
        lowest.scatter_reduce_(0, i, places, "amin")
        return nearest[:, None], lowest[:, None]
    distances, by_distance = distances.sort(stable=True)
    i, by_row = i[by_distance].sort(stable=True)
    order = by_distance[by_row]
    first = torch.searchsorted(i, torch.arange(n_rows, device=i.device))
    wanted = first[:, None] + torch.arange(n_neighbors, device=i.device)
    return distances[by_row][wanted], j[order][wanted]
