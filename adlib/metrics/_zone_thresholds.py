"""A threshold for each zone of the image, where parts of it differ in what is normal.

With z rows of zones, row y of a map of height h belongs to zone floor(y z / h); columns
likewise. Maps of any size thus have the same zones, as equal as their pixels allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float32Array, Float64Array
from adlib._validation import check_int, check_option, check_ratio, describe, refusal
from adlib.metrics._checks import PLANE, check_heatmap
from adlib.metrics._conformal import conformal_threshold
from adlib.metrics._order_statistics import (
    Heatmaps,
    zone_maxima,
    zone_of,
    zone_quantiles,
)

RateOf: TypeAlias = Literal["pixels", "images"]
RATES_OF: tuple[RateOf, ...] = ("pixels", "images")


@dataclass(frozen=True, eq=False)
class ZoneThresholds:
    """A threshold for each zone of an anomaly map.

    Attributes:
        thresholds: (rows, columns) float64, finite, read-only.

    Raises:
        ValueError: They are not (rows, columns) finite numbers.

    Example:
        >>> from adlib.metrics import ZoneThresholds
        >>> zones = ZoneThresholds([[1.0, 2.0]])  # left and right half
        >>> zones.defect_mask([[1.5, 1.5, 1.5, 1.5]]).tolist()
        [[True, True, False, False]]
    """

    thresholds: Float64Array

    def __post_init__(self) -> None:
        """Keep a checked copy that nobody can change."""
        thresholds = np.array(self.thresholds, dtype=np.float64)
        if (
            thresholds.ndim != PLANE
            or not thresholds.size
            or not np.isfinite(thresholds).all()
        ):
            rule = "(rows, columns) finite numbers"
            came = describe(thresholds)
            raise ValueError(refusal("thresholds", "ZoneThresholds", rule, came))
        thresholds.setflags(write=False)
        object.__setattr__(self, "thresholds", thresholds)

    @property
    def zones(self) -> tuple[int, int]:
        """Rows and columns of zones."""
        rows, columns = self.thresholds.shape
        return rows, columns

    def threshold_map(self, height: int, width: int) -> Float64Array:
        """Return the threshold of each pixel, constant in a zone.

        Args:
            height: Of the map in pixels, at least the rows of zones.
            width: Of the map in pixels, at least the columns of zones.

        Returns:
            (height, width).

        Raises:
            TypeError: A side is no integer.
            ValueError: A side has fewer pixels than zones.
        """
        rows, columns = self.zones
        height = check_int(height, "height", "threshold_map", low=rows)
        width = check_int(width, "width", "threshold_map", low=columns)
        return self.thresholds[np.ix_(zone_of(height, rows), zone_of(width, columns))]

    def defect_mask(self, heatmap: ArrayLike) -> BoolArray:
        """Return where a map is above its zone's threshold.

        Args:
            heatmap: Anomaly map, (height, width) finite numbers, compared in float32.

        Returns:
            (height, width); True is anomalous.

        Raises:
            TypeError: The map is not of numbers.
            ValueError: It is not (height, width), has fewer pixels than zones, or holds
                NaN or infinity.
        """
        values = check_heatmap(heatmap, None, "heatmap", "defect_mask")
        mask: BoolArray = values > self.threshold_map(*values.shape)
        return mask


def zone_thresholds(
    heatmaps_normal: Iterable[Any],
    zones: tuple[int, int] = (4, 4),
    *,
    false_positive_rate: float = 0.01,
    rate_of: RateOf = "pixels",
) -> ZoneThresholds:
    """Set a threshold for each zone, by maps of normal images alone.

    With ``rate_of="pixels"`` a zone's threshold is the lowest value that at most the
    share of its pixels exceed, over these maps: exact, and no promise for new ones.

    With ``rate_of="images"`` the chance that a new normal image shows a pixel above its
    threshold anywhere, in whatever zone, is at most the rate, if it and these images
    are exchangeable. Every second map (the second, fourth, ...) tells the mean m and
    standard deviation s of each zone's maxima; of the others the highest (maximum - m)
    / s of all zones is the score that ``conformal_threshold`` cuts at c. A zone's
    threshold is m + c s, and the next float32 above it, so that rounding breaks no
    promise. Only half of the maps count for that: 5 % needs 37.

    Args:
        heatmaps_normal: Anomaly maps of normal images, (height, width) each, higher =
            more anomalous; compared in float32. For a promise, nothing was learned from
            the images. Images may differ in size.
        zones: Rows and columns of zones.
        false_positive_rate: Share of the pixels or images, in (0, 1).
        rate_of: "pixels" or "images".

    Returns:
        A threshold for each zone.

    Raises:
        TypeError: Maps or numbers are of the wrong kind.
        ValueError: There is no map; a map is not (height, width), has fewer pixels than
            zones, or holds NaN or infinity; a number or name is out of its range; or
            there are too few maps to promise the rate.

    Note:
        A sequence is read twice (once for images), one map at a time, and beside that
        half a megabyte a zone is used; of other iterables the maps are kept.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import zone_thresholds
        >>> maps = np.random.default_rng(0).random((50, 32, 32))
        >>> maps[:, :, 16:] *= 3  # the right half is always stranger
        >>> found = zone_thresholds(maps, (1, 2), false_positive_rate=0.1)
        >>> found.thresholds.round(2).tolist()
        [[0.9, 2.7]]
        >>> int(found.defect_mask(np.full((32, 32), 2.0)).sum())
        512
    """
    owner = "zone_thresholds"
    grid = _check_zones(zones, owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    rate_of = check_option(rate_of, "rate_of", owner, RATES_OF)
    heatmaps = Heatmaps(heatmaps_normal, owner, grid)
    if rate_of == "pixels":
        return ZoneThresholds(zone_quantiles(heatmaps, grid, rate))
    maxima = np.array([zone_maxima(heatmap, grid) for heatmap in heatmaps])
    return ZoneThresholds(_conformal_thresholds(maxima, rate, owner))


def _conformal_thresholds(
    maxima: Float64Array, rate: float, owner: str
) -> Float64Array:
    """Return the thresholds of ``rate_of="images"``, (rows, columns).

    Args:
        maxima: Of each image's zones, (n_images, rows, columns).
        rate: Share of the images.
        owner: What errors call the function.
    """
    describing, promising = maxima[1::2], maxima[0::2]
    fewest = 2  # a standard deviation needs as many
    if len(describing) < fewest:
        rule = 'at least four maps with rate_of="images"'
        raise ValueError(refusal("heatmaps_normal", owner, rule, f"{len(maxima)}"))
    mean, deviation = describing.mean(axis=0), describing.std(axis=0, ddof=1)
    # A zone that never varied counts like an average one; any scale keeps the promise.
    usual = float(deviation.mean()) or 1.0
    scale = np.where(deviation > 0, deviation, usual)
    highest = ((promising - mean) / scale).max(axis=(1, 2))
    owner = f"{owner}, which promises by every second map,"
    thresholds = mean + conformal_threshold(highest, rate, owner=owner) * scale
    above: Float32Array = np.nextafter(thresholds.astype(np.float32), np.float32("inf"))
    return above.astype(np.float64)


def _check_zones(zones: object, owner: str) -> tuple[int, int]:
    if not isinstance(zones, Sequence) or len(zones) != PLANE:
        rule = "a pair, rows and columns of zones"
        raise TypeError(refusal("zones", owner, rule, describe(zones)))
    rows, columns = (check_int(number, "zones", owner, low=1) for number in zones)
    return rows, columns
