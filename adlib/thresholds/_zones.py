"""Thresholds of pixels: one for all, or one for each zone of the image.

With z rows of zones, row y of a map of height h belongs to zone floor(y z / h); columns
likewise. Maps of any size thus have the same zones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float32Array, Float64Array, Int64Array
from adlib._validation import check_int, check_ratio, describe, refusal
from adlib.metrics._checks import PLANE, as_sequence, check_map
from adlib.thresholds._conformal import share_of


@dataclass(frozen=True, eq=False)
class ZoneThresholds:
    """A threshold for each zone of an anomaly map, (rows, columns) float64."""

    thresholds: Float64Array

    def threshold_map(self, height: int, width: int) -> Float64Array:
        """Return the threshold of each pixel, (height, width), constant in a zone.

        Either side has at least as many pixels as there are zones along it.
        """
        rows, columns = self.thresholds.shape
        height = check_int(height, "height", "threshold_map", low=rows)
        width = check_int(width, "width", "threshold_map", low=columns)
        by_rows = self.thresholds.repeat(np.diff(_bounds(height, rows)), axis=0)
        return by_rows.repeat(np.diff(_bounds(width, columns)), axis=1)

    def defect_mask(self, anomaly_map: ArrayLike) -> BoolArray:
        """Return where a map is above its zone's threshold, (height, width).

        The map is (height, width) finite numbers, compared in float32.
        """
        values = check_map(anomaly_map, None, "anomaly_map", "defect_mask")
        mask: BoolArray = values > self.threshold_map(*values.shape)
        return mask


def zone_thresholds(
    anomaly_maps: Iterable[Any],
    zones: tuple[int, int] = (4, 4),
    *,
    false_positive_rate: float = 0.01,
) -> ZoneThresholds:
    """Set a threshold for each zone from anomaly maps of normal images.

    It is the lowest value that at most the share of the zone's pixels exceed, over
    these maps, without a guarantee for new ones. ``zones=(1, 1)`` gives one threshold
    for all pixels.

    Args:
        anomaly_maps: Of normal images, (height, width) each, higher = more anomalous;
            compared in float32. They may differ in size.
        zones: Rows and columns of zones.
        false_positive_rate: Share of the pixels, in (0, 1).

    Returns:
        Their ``thresholds``, (rows, columns), with methods ``threshold_map(height,
        width)`` and ``defect_mask(anomaly_map)``.

    Raises:
        TypeError, ValueError: An argument is not as stated, or a map has fewer pixels
            than zones.

    Note:
        A sequence is read twice, one map at a time; of other iterables the maps are
        kept. Up to three times the share of all pixels is kept.

    Example:
        >>> import numpy as np
        >>> from adlib.thresholds import zone_thresholds
        >>> maps = np.random.default_rng(0).random((50, 32, 32))
        >>> maps[:, :, 16:] *= 3  # the right half always scores higher
        >>> found = zone_thresholds(maps, (1, 2), false_positive_rate=0.1)
        >>> found.thresholds.round(2).tolist()
        [[0.9, 2.7]]
        >>> int(found.defect_mask(np.full((32, 32), 2.0)).sum())
        512
    """
    owner = "zone_thresholds"
    if not isinstance(zones, Sequence) or len(zones) != PLANE:
        rule = "a pair, rows and columns of zones"
        raise TypeError(refusal("zones", owner, rule, describe(zones)))
    rows, columns = (check_int(number, "zones", owner, low=1) for number in zones)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    maps = as_sequence(anomaly_maps)
    if not len(maps):
        raise ValueError(refusal("anomaly_maps", owner, "at least one map", "none"))
    return ZoneThresholds(_quantiles(maps, (rows, columns), rate, owner))


def _bounds(size: int, n_zones: int) -> Int64Array:
    """Return where each zone of ``size`` rows or columns begins, and the end."""
    return -(-np.arange(n_zones + 1, dtype=np.int64) * size // n_zones)


def _zones_of(
    maps: Sequence[Any], zones: tuple[int, int], owner: str
) -> Iterator[list[list[Float32Array]]]:
    """Yield each map's pixels by row and column of zones, or raise."""
    for number in range(len(maps)):
        whole = check_map(maps[number], number, "anomaly_maps", owner)
        if min(np.subtract(whole.shape, zones)) < 0:
            rule = "at least as high and wide as there are zones"
            came = f"{whole.shape} for zones {zones}"
            raise ValueError(refusal("anomaly_maps", owner, rule, came))
        rows, columns = map(_bounds, whole.shape, zones)
        yield [
            np.split(part, columns[1:-1], axis=1)
            for part in np.split(whole, rows[1:-1])
        ]


def _quantiles(
    maps: Sequence[Any], zones: tuple[int, int], rate: float, owner: str
) -> Float64Array:
    """Return each zone's lowest value that at most a share of its pixels exceed."""
    n_pixels = np.zeros(zones, np.int64)
    for parts in _zones_of(maps, zones, owner):
        n_pixels += [[zone.size for zone in row] for row in parts]
    highest = {place: np.empty(0, np.float32) for place in np.ndindex(zones)}
    # As many of the highest values as may be exceeded, and the one that may not.
    n_kept = {
        place: min(1 + share_of(int(n_pixels[place]), rate), int(n_pixels[place]))
        for place in highest
    }
    for parts in _zones_of(maps, zones, owner):
        for (row, column), n in n_kept.items():
            joined = np.append(highest[row, column], parts[row][column])
            if len(joined) > 2 * n:
                joined = np.partition(joined, len(joined) - n)[-n:]
            highest[row, column] = joined
    thresholds = np.empty(zones)
    for place, n in n_kept.items():
        thresholds[place] = np.partition(highest[place], -n)[-n]
    return thresholds + 0.0  # makes of -0.0 a 0.0
