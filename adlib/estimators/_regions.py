"""Connected areas of an anomaly map above a threshold: the defects that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from contourpy import contour_generator
from scipy import ndimage

from adlib._inspection import Short
from adlib._typing import AnyArray, Float32Array, Float64Array
from adlib._validation import (
    check_finite,
    check_int,
    check_positive,
    describe,
    refusal,
)
from adlib.estimators._zones import Zones
from adlib.metrics._checks import EIGHT_CONNECTED, PLANE, check_map

SHORTEST = 3  # points of a line around anything


@dataclass(frozen=True, eq=False, repr=False)
class Region(Short):
    """A connected area of one image whose map lies above the pixel threshold.

    Places are in pixels of the image itself, upright; 0 is the outer edge of its first
    row and column.

    Attributes:
        box: (top, left, bottom, right) that encloses it; the pixel rows are
            ``range(top, bottom)``.
        area: In pixels of the image.
        peak: The highest value of the map in it.
        mean: The mean value of the map in it.
        worst_pixel: (row, column) of the peak.
        contours: Closed lines around it and around its holes, (n, 2) float64 each, of
            rows and columns.
        area_mm2: Its area in square millimetres, where a scale was given; else None.
        threshold: The pixel threshold that it lies above; with ``zones`` that of
            ``zone``, as floats round it.
        zone: With ``zones`` (row, column) of the zone of ``worst_pixel``, which is then
            where the map is the most times its zone's threshold, and ``peak`` is the
            map's value there; else None.
    """

    box: tuple[int, int, int, int]
    area: float
    peak: float
    mean: float
    worst_pixel: tuple[int, int]
    contours: tuple[Float64Array, ...]
    area_mm2: float | None = None
    threshold: float | None = None
    zone: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes as numbers and lists, for JSON."""
        lines = [np.round(line, 2).tolist() for line in self.contours]
        return {**self.__dict__, "contours": lines}


def find_regions(
    anomaly_map: Float32Array,
    threshold: float,
    *,
    size: tuple[int, int] | None = None,
    least_area: float = 0.0,
    mm_per_pixel: float | None = None,
    zones: Zones | None = None,
) -> list[Region]:
    """Return the connected areas of an anomaly map above a threshold.

    Pixels that touch at a corner are connected.

    Args:
        anomaly_map: (map_height, map_width), higher = more anomalous.
        threshold: Such as the ``pixel_threshold_`` of the detector.
        size: (height, width) of the image, in whose pixels places and areas are; None:
            that of the map.
        least_area: Smaller areas are left out, in pixels of the image.
        mm_per_pixel: Side of a pixel of the image in millimetres, for ``area_mm2``.
        zones: The ``zones`` of the ``Inspection`` with this map, where the detector has
            zones: the threshold is that of the map divided by their scales.

    Returns:
        One ``Region`` an area, in the order of their peaks, the highest first (with
        zones that whose peak is the most times its threshold).

    Raises:
        TypeError, ValueError: An argument is not as stated.

    Example:
        >>> import numpy as np
        >>> from adlib.estimators import find_regions
        >>> anomaly_map = np.zeros((8, 8), np.float32)
        >>> anomaly_map[2:4, 5:8] = 2.0
        >>> (region,) = find_regions(anomaly_map, 1.0, size=(16, 16))
        >>> region.box, region.area, region.peak
        ((4, 10, 8, 16), 24.0, 2.0)
    """
    owner = "find_regions"
    values = check_map(anomaly_map, None, "anomaly_map", owner)
    threshold = check_finite(threshold, "threshold", owner)
    if size is None:
        size = (values.shape[0], values.shape[1])
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != PLANE:
        rule = "None or a pair (height, width)"
        raise ValueError(refusal("size", owner, rule, describe(size)))
    height, width = (check_int(side, "size", owner, low=1) for side in size)
    least_area = check_least_area(least_area, owner)
    if mm_per_pixel is not None:
        mm_per_pixel = check_positive(mm_per_pixel, "mm_per_pixel", owner)
    if zones is not None and zones.numbers.shape != values.shape:
        rule = f"None or the Zones of this map, {values.shape}"
        raise ValueError(refusal("zones", owner, rule, describe(zones)))
    sides = height, width
    return regions_above(values, threshold, sides, least_area, mm_per_pixel, zones)


def regions_above(
    values: Float32Array,
    threshold: float,
    size: tuple[int, int],
    least_area: float,
    mm_per_pixel: float | None = None,
    zones: Zones | None = None,
) -> list[Region]:
    """Return what ``find_regions`` does, of checked arguments."""
    shown = values if zones is None else zones.relative(values)
    if not shown.max() > threshold:  # of most images
        return []
    labels, n_found = ndimage.label(shown > threshold, EIGHT_CONNECTED)
    scale = np.array(size) / values.shape
    inside = np.flatnonzero(labels)  # few of the pixels; SciPy would sort them all
    number = labels.ravel()[inside] - 1
    counts = np.bincount(number)
    areas = counts * scale.prod()
    means = np.bincount(number, values.ravel()[inside]) / counts
    by_height = np.lexsort((-shown.ravel()[inside], number))  # of equal ones the first
    highest = inside[by_height[np.searchsorted(number[by_height], np.arange(n_found))]]
    places = [divmod(place, values.shape[1]) for place in highest.tolist()]
    found: list[tuple[float, Region]] = []
    for i, where in enumerate(ndimage.find_objects(labels)):
        if areas[i] < least_area:
            continue
        first = np.array([part.start for part in where])
        last = np.array([part.stop for part in where])
        (top, left), (bottom, right) = (
            np.floor(first * scale).astype(int).tolist(),
            np.ceil(last * scale).astype(int).tolist(),
        )
        row, column = ((np.array(places[i]) + 0.5) * scale).astype(int).tolist()
        lines = _lines(shown, labels, i + 1, threshold, first, last)
        zone, limit = None, threshold
        if zones is not None:
            zone = zones.place(*places[i])
            limit *= float(zones.scales[zone])
        region = Region(
            box=(top, left, bottom, right),
            area=float(areas[i]),
            peak=float(values[places[i]]),
            mean=float(means[i]),
            worst_pixel=(row, column),
            contours=tuple((line + 0.5) * scale for line in lines),
            area_mm2=None if mm_per_pixel is None else areas[i] * mm_per_pixel**2,
            threshold=limit,
            zone=zone,
        )
        found.append((float(shown[places[i]]), region))
    return [region for _, region in sorted(found, key=lambda one: -one[0])]


def _lines(
    values: Float32Array,
    labels: AnyArray,
    number: int,
    threshold: float,
    first: AnyArray,
    last: AnyArray,
) -> list[Float64Array]:
    """Return the lines at the threshold around one area, in rows and columns."""
    near = tuple(
        slice(max(0, low - 1), high + 1) for low, high in zip(first, last, strict=True)
    )
    others = (labels[near] != number) & (values[near] > threshold)
    heights = np.where(others, threshold, values[near].astype(np.float64))
    # Mirrored at the threshold beyond the image's edge, so that lines run along it.
    padded = np.pad(heights, 1, mode="edge")
    for edge, inner in ((0, 1), (-1, -2)):
        padded[edge] = np.minimum(threshold, 2 * threshold - padded[inner])
        padded[:, edge] = np.minimum(threshold, 2 * threshold - padded[:, inner])
    corner = [part.start - 1 for part in near]
    lines: Any = contour_generator(z=padded).lines(threshold)
    return [line[:, ::-1] + corner for line in lines if len(line) > SHORTEST]


def large_alone(
    values: Float32Array, threshold: float, size: tuple[int, int], least_area: float
) -> Float32Array:
    """Return a map with its smaller regions cut off at the threshold."""
    if least_area == 0.0:
        return values
    labels, _ = ndimage.label(values > threshold, EIGHT_CONNECTED)
    areas = np.bincount(labels.ravel()) * (size[0] * size[1] / values.size)
    small = (areas < least_area)[labels] & (labels > 0)
    return np.where(small, np.float32(threshold), values)


def highest_threshold(
    values: Float32Array, size: tuple[int, int], least_area: float
) -> float:
    """Return the lowest threshold above which a map has no region that counts.

    ``size`` is that of the image. Whether a region of ``least_area`` lies above a
    threshold can only turn from yes to no as it rises, so that the map's own values are
    searched by halves.
    """
    area = size[0] * size[1] / values.size  # of one value of the map
    if least_area <= area:
        return float(values.max())
    levels = np.unique(values)
    low, high = -1, len(levels) - 1  # above levels[high] there is nothing
    while high - low > 1:
        middle = (low + high) // 2
        labels, _ = ndimage.label(values > levels[middle], EIGHT_CONNECTED)
        is_large = np.bincount(labels.ravel())[1:].max() * area >= least_area
        low, high = (middle, high) if is_large else (low, middle)
    return float(levels[high])


def check_least_area(value: object, owner: str) -> float:
    """Return the least area of a region, or raise."""
    area = check_finite(value, "least_area", owner)
    if area < 0:
        rule = "a number of pixels of at least 0"
        raise ValueError(refusal("least_area", owner, rule, area))
    return area
