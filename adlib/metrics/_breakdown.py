"""Which defects are found: by type, by size, and by position.

Every group of anomalous images is measured against all normal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import check_ratio, describe, refusal
from adlib.metrics._checks import check_labels_and_scores, check_mask, check_number
from adlib.metrics._image_metrics import compute_auprc, compute_auroc

SIZES = ("small", "medium", "large")
CONFIDENCE = 0.95


class Group(NamedTuple):
    """How well one group of anomalous images is told from all normal ones.

    Attributes:
        n_images: Anomalous images in the group.
        auroc: Against all normal images.
        average_precision: Against all normal images.
        recall: Share found at the threshold; None: there is no threshold.
        recall_low: Of its 95 % interval (Clopper and Pearson's, which is exact).
        recall_high: Likewise.
    """

    n_images: int
    auroc: float
    average_precision: float
    recall: float | None
    recall_low: float | None
    recall_high: float | None


def per_defect_type(
    y_true: Any,
    scores: Any,
    defect_types: Sequence[str],
    threshold: float | None = None,
) -> dict[str, Group]:
    """Measure each type of defect against all normal images.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores: (n,) finite numbers, higher = more anomalous.
        defect_types: The type of each image, (n,); those of normal ones do not count.
        threshold: Above it an image is called anomalous; None: no recall.

    Returns:
        A group for each type, by name, in alphabetical order.

    Raises:
        TypeError: They are not of the kind stated.
        ValueError: Shapes differ, a score is NaN or infinite, or a kind is missing.

    Example:
        >>> from adlib.metrics import per_defect_type
        >>> types = ["good", "good", "hole", "dent", "dent"]
        >>> groups = per_defect_type([0, 0, 1, 1, 1], [1, 3, 2, 4, 5], types, 3.5)
        >>> [(name, group.auroc, group.recall) for name, group in groups.items()]
        [('dent', 1.0, 1.0), ('hole', 0.5, 0.0)]
    """
    owner = "per_defect_type"
    anomalous, values = check_labels_and_scores(y_true, scores, owner)
    names = np.asarray(defect_types, dtype=np.str_)
    _check_shape(names, "defect_types", len(values), owner)
    groups = {name: anomalous & (names == name) for name in np.unique(names[anomalous])}
    return _measure(groups, anomalous, values, threshold, owner)


def by_defect_size(
    y_true: Any, scores: Any, area_ratios: Any, threshold: float | None = None
) -> dict[str, Group]:
    """Measure small, medium and large defects, a third of the anomalous images each.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores: (n,) finite numbers, higher = more anomalous.
        area_ratios: Share of each image that its defect takes, (n,), as
            ``mask_area_ratio`` gives it; those of normal images do not count.
        threshold: Above it an image is called anomalous; None: no recall.

    Returns:
        Groups "small", "medium" and "large", parted at the terciles of the areas, those
        at a tercile in the smaller group; a group without images is left out.

    Raises:
        TypeError, ValueError: As ``per_defect_type``; or an area is NaN or infinite.

    Example:
        >>> from adlib.metrics import by_defect_size
        >>> areas = [0.0, 0.0, 0.01, 0.1, 0.5]
        >>> groups = by_defect_size([0, 0, 1, 1, 1], [1, 3, 2, 4, 5], areas)
        >>> [(name, group.auroc) for name, group in groups.items()]
        [('small', 0.5), ('medium', 1.0), ('large', 1.0)]
    """
    owner = "by_defect_size"
    anomalous, values = check_labels_and_scores(y_true, scores, owner)
    areas = np.asarray(area_ratios, dtype=np.float64)
    _check_shape(areas, "area_ratios", len(values), owner)
    if not np.isfinite(areas[anomalous]).all():
        came = "NaN or infinity"
        raise ValueError(refusal("area_ratios", owner, "finite numbers", came))
    size = np.searchsorted(size_bounds(areas[anomalous]), areas, side="left")
    groups = {
        name: anomalous & (size == place)
        for place, name in enumerate(SIZES)
        if (anomalous & (size == place)).any()
    }
    return _measure(groups, anomalous, values, threshold, owner)


def size_bounds(areas: Float64Array) -> Float64Array:
    """Return the areas up to which defects are small and medium, (2,)."""
    return np.quantile(areas, [1 / 3, 2 / 3])


def by_position(
    y_true: Any, scores: Any, at_border: Any, threshold: float | None = None
) -> dict[str, Group]:
    """Measure defects at the border of the image and in its centre.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous), both.
        scores: (n,) finite numbers, higher = more anomalous.
        at_border: Whether each image's defect lies at the border, (n,) bool, as
            ``touches_border`` gives it; those of normal images do not count.
        threshold: Above it an image is called anomalous; None: no recall.

    Returns:
        Groups "border" and "centre"; one without images is left out.

    Raises:
        TypeError, ValueError: As ``per_defect_type``.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import by_position
        >>> border = np.array([False, False, True, False])
        >>> groups = by_position([0, 0, 1, 1], [1, 3, 2, 4], border)
        >>> [(name, group.auroc) for name, group in groups.items()]
        [('border', 0.5), ('centre', 1.0)]
    """
    owner = "by_position"
    anomalous, values = check_labels_and_scores(y_true, scores, owner)
    border = np.asarray(at_border)
    if border.dtype != np.bool_:
        raise TypeError(refusal("at_border", owner, "(n,) bool", describe(border)))
    _check_shape(border, "at_border", len(values), owner)
    groups = {"border": anomalous & border, "centre": anomalous & ~border}
    found = {name: chosen for name, chosen in groups.items() if chosen.any()}
    return _measure(found, anomalous, values, threshold, owner)


def mask_area_ratio(mask: Any) -> float:
    """Return the share of an image that a mask marks.

    Args:
        mask: (height, width) bool, or whole numbers of which every one but 0 is
            anomalous.

    Returns:
        In [0, 1].

    Raises:
        TypeError: The mask is not numbers.
        ValueError: It is not (height, width), is empty, or has soft or lossy edges.

    Example:
        >>> from adlib.metrics import mask_area_ratio
        >>> mask_area_ratio([[0, 255], [0, 0]])
        0.25
    """
    return float(np.mean(check_mask(mask, None, "mask", "mask_area_ratio")))


def touches_border(mask: Any, border: float = 0.1) -> bool:
    """Return whether any part of a defect lies at the border of its image.

    Args:
        mask: (height, width) bool, or whole numbers of which every one but 0 is
            anomalous.
        border: How wide the border is, as a share of the shorter side, in (0, 0.5);
            at least a pixel.

    Returns:
        True where a marked pixel lies in the border; False for a mask of 0.

    Raises:
        TypeError: The mask is not numbers, or ``border`` is none.
        ValueError: The mask is not (height, width), is empty, or has soft or lossy
            edges; or ``border`` is out of its range.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import touches_border
        >>> mask = np.zeros((20, 20))
        >>> mask[5:9, 5:9] = 1
        >>> touches_border(mask), touches_border(mask, 0.3)
        (False, True)
    """
    owner = "touches_border"
    marked = check_mask(mask, None, "mask", owner)
    share = check_ratio(border, "border", owner, closed=False)
    if share >= 0.5:  # noqa: PLR2004 - where both borders meet
        raise ValueError(refusal("border", owner, "a number in (0, 0.5)", share))
    width = max(1, round(share * min(marked.shape)))
    return bool(
        marked.any() and marked.sum() > marked[width:-width, width:-width].sum()
    )


def _measure(
    groups: dict[str, BoolArray],
    anomalous: BoolArray,
    scores: Float64Array,
    threshold: float | None,
    owner: str,
) -> dict[str, Group]:
    """Return what is found of each group of anomalous images."""
    limit = None if threshold is None else check_number(threshold, "threshold", owner)
    found = {}
    for name, chosen in groups.items():
        with_normal = chosen | ~anomalous
        labels, values = anomalous[with_normal], scores[with_normal]
        n_images = int(chosen.sum())
        recall: tuple[float | None, ...] = (None, None, None)
        if limit is not None:
            n_found = int((scores[chosen] > limit).sum())
            recall = (n_found / n_images, *_exact_interval(n_found, n_images))
        areas = compute_auroc(labels, values), compute_auprc(labels, values)
        found[str(name)] = Group(n_images, *areas, *recall)
    return found


def _exact_interval(n_found: int, n_images: int) -> Iterable[float]:
    interval = stats.binomtest(n_found, n_images).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def _check_shape(values: Any, parameter: str, n_images: int, owner: str) -> None:
    if values.shape != (n_images,):
        rule = f"({n_images},), one for each image"
        raise ValueError(refusal(parameter, owner, rule, describe(values)))
