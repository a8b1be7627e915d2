"""Exact quantiles of the pixels of many maps, in memory that does not grow with them.

A float32's bits, read as an integer, rise with its value. Two passes over the maps
find the value of a rank: the first counts the upper halves of these integers, the
second, where the upper half is that of the rank, the lower halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import refusal
from adlib.metrics._checks import as_sequence, check_map
from adlib.thresholds._scores import share_of

HALF = 16  # bits
N_HALVES = 2**HALF


class CheckedMaps:
    """Checked maps, as often as they are asked for, with no fewer pixels than zones.

    A sequence is read item by item on each pass; of other iterables the maps are kept.
    """

    def __init__(
        self, anomaly_maps: Iterable[Any], owner: str, zones: tuple[int, int] = (1, 1)
    ) -> None:
        self._maps = as_sequence(anomaly_maps)
        self._owner, self._zones = owner, zones
        if not len(self._maps):
            rule = "at least one map"
            raise ValueError(refusal("anomaly_maps", owner, rule, "none"))

    def __iter__(self) -> Iterator[Float32Array]:
        """Yield each map, or raise."""
        for number in range(len(self._maps)):
            yield self._checked(number)

    def _checked(self, number: int) -> Float32Array:
        owner = self._owner
        anomaly_map = check_map(self._maps[number], number, "anomaly_maps", owner)
        if (
            anomaly_map.shape[0] < self._zones[0]
            or anomaly_map.shape[1] < self._zones[1]
        ):
            rule = "at least as high and wide as there are zones"
            came = f"{anomaly_map.shape} for zones {self._zones}"
            raise ValueError(refusal("anomaly_maps", owner, rule, came))
        return anomaly_map


def zone_of(size: int, n_zones: int) -> Int64Array:
    """Return the zone of each of ``size`` rows or columns: i * n_zones // size."""
    return np.arange(size, dtype=np.int64) * n_zones // size


def zone_maxima(anomaly_map: Float32Array, zones: tuple[int, int]) -> Float64Array:
    """Return the highest value in each zone, (rows, columns)."""
    height, width = anomaly_map.shape
    # A zone begins at the first row or column that belongs to it.
    tops = np.searchsorted(zone_of(height, zones[0]), np.arange(zones[0]))
    lefts = np.searchsorted(zone_of(width, zones[1]), np.arange(zones[1]))
    by_rows = np.maximum.reduceat(anomaly_map, tops, axis=0)
    return np.maximum.reduceat(by_rows, lefts, axis=1).astype(np.float64)


def zone_quantiles(
    anomaly_maps: CheckedMaps, zones: tuple[int, int], rate: float
) -> Float64Array:
    """Return each zone's lowest value that at most a share of its pixels exceed.

    The values, (rows, columns), are exact. Maps are read twice; counts take half a
    megabyte a zone.
    """
    counts = np.zeros((zones[0] * zones[1], N_HALVES), np.int64)
    for anomaly_map in anomaly_maps:
        keys, zone = _keys_and_zones(anomaly_map, zones)
        _add(counts, zone, keys >> HALF)
    n_pixels = counts.sum(axis=1)
    allowed = [share_of(int(number), rate) for number in n_pixels]
    ranks = np.maximum(0, n_pixels - 1 - np.array(allowed))
    upper, ranks = _find(counts, ranks)
    counts[:] = 0
    for anomaly_map in anomaly_maps:
        keys, zone = _keys_and_zones(anomaly_map, zones)
        near = keys >> HALF == upper[zone]
        _add(counts, zone[near], keys[near] & (N_HALVES - 1))
    lower, _ = _find(counts, ranks)
    return _values(upper << HALF | lower).astype(np.float64).reshape(zones)


def _add(counts: Int64Array, zones: Int64Array, halves: Int64Array) -> None:
    """Count pixels at their zone and half."""
    cells, times = np.unique(zones * N_HALVES + halves, return_counts=True)
    counts.reshape(-1)[cells] += times


def _keys_and_zones(
    anomaly_map: Float32Array, zones: tuple[int, int]
) -> tuple[Int64Array, Int64Array]:
    """Return integers that rise with the values, and each pixel's zone, (n_pixels,)."""
    bits = (anomaly_map + np.float32(0)).view(np.uint32)  # the sum makes of -0.0 a 0.0
    is_negative = bits >> np.uint32(31) == 1
    keys = np.where(is_negative, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)
    rows = zone_of(anomaly_map.shape[0], zones[0]) * zones[1]
    columns = zone_of(anomaly_map.shape[1], zones[1])
    return keys.ravel(), np.add.outer(rows, columns).ravel()


def _values(keys: Int64Array) -> Float32Array:
    """Return the values of integers made by ``_keys_and_zones``."""
    bits = keys.astype(np.uint32)
    is_negative = bits >> np.uint32(31) == 0
    return np.where(is_negative, ~bits, bits & np.uint32(2**31 - 1)).view(np.float32)


def _find(counts: Int64Array, ranks: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the half in which each zone's rank lies, and the rank within that half."""
    up_to = np.cumsum(counts, axis=1)
    found = np.array(
        [
            np.searchsorted(row, rank, side="right")
            for row, rank in zip(up_to, ranks, strict=True)
        ]
    )
    zones = np.arange(len(found))
    return found, ranks - (up_to[zones, found] - counts[zones, found])
