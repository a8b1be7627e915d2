"""AUPIMO: the area under the per-image overlap at very low false-positive rates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import check_range, refusal
from adlib.metrics._checks import MaskedMaps


class Aupimo(NamedTuple):
    """The mean area; that of each anomalous image, (n_anomalous,); which these are."""

    mean: float
    per_image: Float64Array
    images: Int64Array


def aupimo(
    masks_true: Iterable[Any],
    anomaly_maps: Iterable[Any],
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
) -> Aupimo:
    """Return the area under the per-image overlap at very low false-positive rates.

    The false-positive rate is shared by all images: the mean, over the normal images,
    of the share of their pixels above the threshold. At each rate the threshold is the
    lowest that keeps to it; the overlap of an anomalous image is the share of its
    anomalous pixels above that. The area is taken over the logarithm of the rate
    between the bounds, and divided by its width.

    Args:
        masks_true: The mask of each image, (height, width), as in ``PixelCurves.of``;
            an image is normal if it is 0 throughout.
        anomaly_maps: The anomaly map of each image, likewise.
        fpr_bounds: Lower and upper rate, above 0 and up to 1.

    Returns:
        The area of each anomalous image and their mean, in [0, 1]; 1: all anomalous
        pixels are found below the lower bound.

    Raises:
        TypeError, ValueError: As ``PixelCurves.of``; there is no normal or no anomalous
            image; or ``fpr_bounds`` are not as stated.

    Note:
        The curve is a step at every score of a normal pixel, so the area is a sum and
        exact; published code samples thresholds and joins them by straight lines.
        Memory beyond a map: 12 bytes for each normal pixel up to the upper bound, and
        the anomalous pixels of one image; sequences are read twice.

    References:
        1. J. Bertoldo et al., "AUPIMO: redefining visual anomaly detection benchmarks
           with high speed and low tolerance", BMVC 2024.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import aupimo
        >>> masks = np.zeros((2, 8, 8)); masks[1, :2, :2] = 1
        >>> maps = np.random.default_rng(0).random((2, 8, 8)) + masks / 2
        >>> round(aupimo(masks, maps, (0.01, 0.1)).mean, 4)
        0.6263
    """
    owner = "aupimo"
    low, high = check_range(fpr_bounds, "fpr_bounds", owner, low=0.0, high=1.0)
    if not 0.0 < low < high:
        rule = "two different rates above 0, the lower one first"
        raise ValueError(refusal("fpr_bounds", owner, rule, repr(fpr_bounds)))
    images = MaskedMaps(masks_true, anomaly_maps, owner)
    is_anomalous = np.array([image.n_regions > 0 for image in images], dtype=bool)
    normal, anomalous = np.flatnonzero(~is_anomalous), np.flatnonzero(is_anomalous)
    if not len(normal) or not len(anomalous):
        rule = "of normal and of anomalous images"
        came = f"no {'normal' if len(anomalous) else 'anomalous'} one"
        raise ValueError(refusal("masks_true", owner, rule, came))
    thresholds, rates = _shared_rates(images, normal, high)
    # How wide, in logarithms, each step is between the bounds.
    edges = np.log(np.clip(np.append(rates, high), low, high))
    weights = np.diff(edges) / np.log(high / low)
    areas = np.empty(len(anomalous))
    for place, number in enumerate(anomalous.tolist()):
        image = images.image(number)
        scores = np.sort(image.scores[image.regions > 0])
        at_most = np.searchsorted(scores, thresholds, side="right")
        areas[place] = (1.0 - at_most / len(scores)) @ weights
    return Aupimo(float(areas.mean()), areas, anomalous)


def _shared_rates(
    images: MaskedMaps, normal: Int64Array, high: float
) -> tuple[Float32Array, Float64Array]:
    """Return thresholds, falling, and the shared rates from which on each is allowed.

    Both are (n_steps,); the rates rise from 0 and end where they pass ``high``.
    """
    scores, weights = np.empty(0, np.float32), np.empty(0)
    for number in normal.tolist():
        pixels = images.image(number).scores.ravel()
        weight = 1.0 / (len(normal) * len(pixels))
        # No more of one image can count, even if all others lie below.
        n_most = min(len(pixels), int(high / weight) + 2)
        top = np.partition(pixels, len(pixels) - n_most)[-n_most:]
        scores = np.append(scores, top)
        weights = np.append(weights, np.full(len(top), weight))
        order = np.argsort(-scores, kind="stable")
        scores, weights = scores[order], weights[order]
        # All up to the bound, and the level at which it is passed.
        last = int(np.searchsorted(np.cumsum(weights), high, side="right"))
        kept = scores >= scores[min(last, len(scores) - 1)]
        scores, weights = scores[kept], weights[kept]
    levels, place = np.unique(-scores, return_inverse=True)
    passed = np.cumsum(np.bincount(place, weights))
    # Above a level are only the levels before it.
    thresholds = np.append(-levels, np.float32(-np.inf)).astype(np.float32)
    return thresholds, np.append(0.0, passed)
