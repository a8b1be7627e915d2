"""Where to cut the pixels of anomaly maps, by maps of normal images alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adlib._validation import check_ratio
from adlib.metrics._conformal import conformal_threshold
from adlib.metrics._order_statistics import Heatmaps, zone_quantiles


def pixel_threshold(
    heatmaps_normal: Iterable[Any], false_positive_rate: float
) -> float:
    """Return the lowest value that at most a share of the pixels exceed.

    Args:
        heatmaps_normal: Anomaly maps of normal images, (height, width) each, higher =
            more anomalous; compared in float32. Images may differ in size.
        false_positive_rate: The share, in (0, 1).

    Returns:
        The value of a pixel; exact, as if all pixels were sorted.

    Raises:
        TypeError: Maps or the share are not numbers.
        ValueError: There is no map; a map is not (height, width), is empty, or holds
            NaN or infinity; or the share is out of its range.

    Note:
        A sequence is read twice, one map at a time, and nothing of it is kept; of other
        iterables the maps are kept.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import pixel_threshold
        >>> pixel_threshold(np.arange(100.0).reshape(4, 5, 5), 0.02)
        97.0
    """
    owner = "pixel_threshold"
    rate = check_ratio(false_positive_rate, "false_positive_rate", owner, closed=False)
    return float(zone_quantiles(Heatmaps(heatmaps_normal, owner), (1, 1), rate)[0, 0])


def pixel_threshold_per_image(
    heatmaps_normal: Iterable[Any], false_positive_rate: float
) -> float:
    """Return the threshold that a share of normal images exceed anywhere.

    It is ``conformal_threshold`` of the maps' maxima: the chance that a new normal
    image shows a single pixel above it is at most the rate, if it and these images are
    exchangeable.

    Args:
        heatmaps_normal: Anomaly maps of normal images that nothing was learned from,
            (height, width) each; see ``pixel_threshold``. Read once.
        false_positive_rate: Share of the images, in (0, 1).

    Returns:
        The maximum of one of the maps; pixels above it are to be called anomalous.

    Raises:
        TypeError: See ``pixel_threshold``.
        ValueError: See ``pixel_threshold``; or there are too few maps to promise the
            rate.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import pixel_threshold_per_image
        >>> maps = np.arange(20.0)[:, None, None] + np.zeros((20, 4, 4))
        >>> pixel_threshold_per_image(maps, 0.1)
        18.0
    """
    owner = "pixel_threshold_per_image"
    maxima = [float(heatmap.max()) for heatmap in Heatmaps(heatmaps_normal, owner)]
    return conformal_threshold(maxima, false_positive_rate, owner=owner)
