"""Thresholds of pixels: one for all, or one for each zone of the image.

With z rows of zones, row y of a map of height h belongs to zone floor(y z / h); columns
likewise. Maps of any size thus have the same zones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray, Float32Array, Float64Array
from adlib._validation import check_int, check_option, check_ratio, describe, refusal
from adlib.metrics._checks import PLANE, check_map
from adlib.thresholds._conformal import conformal_threshold
from adlib.thresholds._quantiles import (
    CheckedMaps,
    zone_maxima,
    zone_of,
    zone_quantiles,
)

RateOf: TypeAlias = Literal["pixels", "images"]
RATES_OF: tuple[RateOf, ...] = ("pixels", "images")


@dataclass(frozen=True, eq=False)
class ZoneThresholds:
    """A threshold for each zone of an anomaly map, (rows, columns) float64, finite."""

    thresholds: Float64Array

    def __post_init__(self) -> None:
        """Keep a checked copy, read-only."""
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
        """Return the threshold of each pixel, (height, width), constant in a zone.

        Either side has at least as many pixels as there are zones along it.
        """
        rows, columns = self.zones
        height = check_int(height, "height", "threshold_map", low=rows)
        width = check_int(width, "width", "threshold_map", low=columns)
        return self.thresholds[np.ix_(zone_of(height, rows), zone_of(width, columns))]

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
    rate_of: RateOf = "pixels",
) -> ZoneThresholds:
    """Set a threshold for each zone from anomaly maps of normal images.

    With ``rate_of="pixels"`` a zone's threshold is the lowest value that at most the
    share of its pixels exceed, over these maps: exact, without a guarantee for new
    ones. ``zones=(1, 1)`` gives one threshold for all pixels.

    With ``rate_of="images"`` the probability that a new normal image shows a pixel
    above its threshold in any zone is at most the rate, if it and these images are
    exchangeable. Every second map gives the mean m and standard deviation s of each
    zone's maxima; of the others, c = ``conformal_threshold`` of max over the zones of
    (maximum - m) / s. A zone's threshold is m + c s. A rate of 5 % needs 37 maps, since
    half of them set c.

    Args:
        anomaly_maps: Anomaly maps of normal images, (height, width) each, higher =
            more anomalous; compared in float32. For the guarantee, of images that were
            not trained on. Images may differ in size.
        zones: Rows and columns of zones.
        false_positive_rate: Share of the pixels or images, in (0, 1).
        rate_of: "pixels" or "images".

    Returns:
        Their ``thresholds``, (rows, columns), with methods ``threshold_map(height,
        width)`` and ``defect_mask(anomaly_map)``.

    Raises:
        TypeError: Maps or numbers are of the wrong kind.
        ValueError: There is no map; a map is not (height, width), has fewer pixels than
            zones, or holds NaN or infinity; a number or name is out of its range; or
            there are too few maps for the rate.

    Note:
        A sequence is read twice (once for images), one map at a time, and beside that
        half a megabyte a zone is used; of other iterables the maps are kept.

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
    grid = _check_zones(zones, owner)
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    rate_of = check_option(rate_of, "rate_of", owner, RATES_OF)
    checked = CheckedMaps(anomaly_maps, owner, grid)
    if rate_of == "pixels":
        return ZoneThresholds(zone_quantiles(checked, grid, rate))
    maxima = np.array([zone_maxima(anomaly_map, grid) for anomaly_map in checked])
    return ZoneThresholds(_conformal_thresholds(maxima, rate, owner))


def _conformal_thresholds(
    maxima: Float64Array, rate: float, owner: str
) -> Float64Array:
    """Return the thresholds, (rows, columns), from maxima (n_images, rows, columns)."""
    describing, calibrating = maxima[1::2], maxima[0::2]
    fewest = 2  # a standard deviation needs as many
    if len(describing) < fewest:
        rule = 'at least four maps with rate_of="images"'
        raise ValueError(refusal("anomaly_maps", owner, rule, f"{len(maxima)}"))
    mean, deviation = describing.mean(axis=0), describing.std(axis=0, ddof=1)
    # A zone that never varied counts as an average one; any scale is valid.
    usual = float(deviation.mean()) or 1.0
    scale = np.where(deviation > 0, deviation, usual)
    highest = ((calibrating - mean) / scale).max(axis=(1, 2))
    owner = f"{owner}, of which every second map counts,"
    thresholds = mean + conformal_threshold(highest, rate, owner=owner) * scale
    # Rounding up to float32 keeps the guarantee.
    above: Float32Array = np.nextafter(thresholds.astype(np.float32), np.float32("inf"))
    return above.astype(np.float64)


def _check_zones(zones: object, owner: str) -> tuple[int, int]:
    if not isinstance(zones, Sequence) or len(zones) != PLANE:
        rule = "a pair, rows and columns of zones"
        raise TypeError(refusal("zones", owner, rule, describe(zones)))
    rows, columns = (check_int(number, "zones", owner, low=1) for number in zones)
    return rows, columns
