"""Zones of an image, each with a scale of its own for the values of anomaly maps.

A map, divided by the scale of each pixel's zone, is compared with one threshold. As the
scales come from training images alone, the highest such value of an image is a score as
any other, and the threshold of such scores keeps what it promises. This is the
modulation function of J. Diquigiovanni, M. Fontana and S. Vantini, "Conformal
prediction bands for multivariate functional data" (arXiv:2106.01792), constant in each
zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from adlib._inspection import Short
from adlib._typing import Float32Array, Int32Array
from adlib._validation import check_int, describe, refusal
from adlib.metrics._checks import PLANE

UPPER = 0.75  # of peaks: the tail counts, and odd images hardly do


@dataclass(frozen=True, eq=False, repr=False)
class Zones(Short):
    """The zones of one anomaly map.

    Attributes:
        numbers: Which zone each pixel lies in, numbered row by row from 0, (height,
            width) int32.
        scales: The detector's ``zone_scales_``, (rows, columns) float32.

    Example:
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> images = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PatchCore(image_size=64, coreset=0.5, zones=(2, 4)).fit(images)
        >>> result = next(model.inspect(images))
        >>> result.zones.place(40, 20)
        (1, 1)
    """

    numbers: Int32Array
    scales: Float32Array

    def relative(self, values: Float32Array) -> Float32Array:
        """Return the map divided by its zones' scales.

        What lies above ``pixel_threshold_`` in it is in the regions.

        Args:
            values: The map, (height, width) float32.

        Returns:
            (height, width) float32.
        """
        return np.asarray(values / self.scales.ravel()[self.numbers])

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Return row and column of the zone of a pixel.

        Args:
            row: Of the map.
            column: Of the map.

        Returns:
            (row, column) from 0.
        """
        found = divmod(int(self.numbers[row, column]), self.scales.shape[1])
        return found[0], found[1]


def check_zones(
    zones: object, image_size: tuple[int, int], owner: str
) -> tuple[int, int] | None:
    """Return rows and columns of zones, None where there are none, or raise."""
    if zones is None:
        return None
    if not isinstance(zones, Sequence) or isinstance(zones, str) or len(zones) != PLANE:
        rule = "None or a pair, rows and columns of zones"
        raise TypeError(refusal("zones", owner, rule, describe(zones)))
    rows, columns = (check_int(number, "zones", owner, low=1) for number in zones)
    if rows > image_size[0] or columns > image_size[1]:
        rule = f"at most as many as image_size has rows and columns, {image_size}"
        raise ValueError(refusal("zones", owner, rule, describe(zones)))
    return rows, columns


@lru_cache(maxsize=2)
def zone_numbers(size: tuple[int, int], zones: tuple[int, int]) -> Int32Array:
    """Return the zone of each pixel; of z rows, row y of h is in floor(y z / h)."""
    rows, columns = (
        np.arange(side, dtype=np.int64) * number // side
        for side, number in zip(size, zones, strict=True)
    )
    numbers = (rows[:, None] * zones[1] + columns).astype(np.int32)
    numbers.flags.writeable = False
    return numbers


def zone_peaks(
    values: Float32Array, numbers: Int32Array, zones: tuple[int, int]
) -> Float32Array:
    """Return the highest value of a map in each zone; 0 where none is higher."""
    peaks = np.zeros(zones[0] * zones[1], np.float32)
    np.maximum.at(peaks, numbers.ravel(), values.ravel())
    return peaks.reshape(zones)


def zone_scales(peaks: Float32Array) -> Float32Array:
    """Return the scale of each zone, of the peaks of many images, (n, rows, columns).

    It is the upper quartile of its peaks over that of the whole images' peaks. Where an
    image has nothing of a zone in its region, or nothing there is above 0, it does not
    count for that zone; a zone that none counts for gets 1, as if there were no zones.
    """
    whole = _upper(peaks.max(axis=(1, 2)))
    scales = np.ones(peaks.shape[1:], np.float32)
    for place in np.ndindex(scales.shape):
        own = _upper(peaks[:, *place])
        if own > 0:
            scales[place] = own / whole
    return scales


def _upper(peaks: Float32Array) -> float:
    """Return the upper quartile of what is above 0, or 0."""
    seen = peaks[peaks > 0].astype(np.float64)
    return float(np.quantile(seen, UPPER)) if len(seen) else 0.0
