"""Exact nearest neighbours with torch: the twin of ``_search_cpu`` for GPUs.

Coarse products promise how near every entry could be, and bound how far the most
promising are at most. Whoever could be as near as these is measured in float64, so the
answer is that of measuring every pair: see ``_promises_torch``. The host waits for the
device once for each tile of queries, to learn how many pairs there are to measure.
"""

from __future__ import annotations

import torch

from adlib._torch import undisturbed
from adlib._typing import Float64Array, Int64Array
from adlib.neighbors._points import Points
from adlib.neighbors._promises_torch import (
    Promises,
    pair_distances,
    to_device,
)

MOST_QUERIES = 2**13  # of a tile
PROMISES_AT_ONCE = 2**26  # 256 MiB


class ExactSearchTorch:
    """Nearest neighbours by squared distance; ties go to the lowest index.

    Memory beyond the bank and its coarse stand-in is that of a tile: 256 MiB of
    promises, as much of differences, and 32 bytes for each pair that is measured: a few
    a query, unless entries lie so near each other that promises cannot tell them apart.
    """

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
        at_once = min(MOST_QUERIES, max(1, PROMISES_AT_ONCE // len(self._rows)))
        found = []
        for first in range(0, len(queries.rows), at_once):
            tile = slice(first, first + at_once)
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
        """Return what ``kneighbors`` does for a tile of queries."""
        seekers = self._promises.seekers(rows)
        promised = self._promises.of(seekers, self._bank)
        if skipped is not None:
            same = self._groups == skipped[:, None]
            promised.masked_fill_(same, -torch.inf)
        # So many entries are no farther than the worst of their ceilings.
        best, places = _highest(promised, n_neighbors)
        ceilings = self._promises.ceilings(seekers, self._bank, places, best)
        bars = self._promises.bars(seekers.norms, ceilings.amax(dim=1))
        i, j = torch.nonzero(promised > bars[:, None]).unbind(dim=1)
        distances = pair_distances(rows, i, self._rows, j)
        return _nearest_of_pairs(i, j, distances, len(rows), n_neighbors)


def _highest(promised: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the n highest promises of each query and whose they are, (n_queries, n).

    A maximum reads the promises once; what picks several reads them many times.
    """
    if n == 1:
        return promised.max(dim=1, keepdim=True)
    return promised.topk(n, dim=1, sorted=False)


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
