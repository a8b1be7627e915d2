"""Metrics by type, size and position of the defect, each against all normal images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import describe, refusal
from adlib.metrics._checks import check_labels_and_scores, check_mask, check_number
from adlib.metrics._image_metrics import compute_auprc, compute_auroc

SIZES = ("small", "medium", "large")
CONFIDENCE = 0.95
BORDER = 0.1  # width, as a share of the shorter side


class Group(NamedTuple):
    """Metrics of one group of anomalous images against all normal ones.

    Attributes:
        n_images: Anomalous images in the group.
        auroc: Against all normal images.
        average_precision: Against all normal images.
        recall: Share found at the threshold; None: there is no threshold.
        recall_low: Of its 95 % interval, Clopper and Pearson's exact one.
        recall_high: Of the same.
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
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        defect_types: The type of each image, (n,); those of normal ones do not count.
        threshold: Above it an image is predicted anomalous; None: no recall.

    Returns:
        A group for each type, by name, in alphabetical order.

    Raises:
        TypeError, ValueError: As ``compute_auroc``; or ``threshold`` is no number.

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
    if names.shape != values.shape:
        rule = f"({len(values)},), one for each image"
        raise ValueError(refusal("defect_types", owner, rule, describe(names)))
    groups = {name: anomalous & (names == name) for name in np.unique(names[anomalous])}
    limit = None if threshold is None else check_number(threshold, "threshold", owner)
    return _measure(groups, anomalous, values, limit)


def by_defect_size(
    y_true: Any, scores: Any, area_ratios: Float64Array, threshold: float | None = None
) -> dict[str, Group]:
    """Measure "small", "medium" and "large" defects, parted at terciles of their areas.

    Those at a tercile are in the smaller group. Areas, (n,), of normal images do not
    count; a group without images is left out.
    """
    anomalous, values = check_labels_and_scores(y_true, scores, "by_defect_size")
    terciles = np.quantile(area_ratios[anomalous], [1 / 3, 2 / 3])
    size = np.searchsorted(terciles, area_ratios, side="left")
    groups = {name: anomalous & (size == i) for i, name in enumerate(SIZES)}
    return _measure(groups, anomalous, values, threshold)


def by_position(
    y_true: Any, scores: Any, at_border: BoolArray, threshold: float | None = None
) -> dict[str, Group]:
    """Measure defects at the "border" of the image and in its "centre"; see above."""
    anomalous, values = check_labels_and_scores(y_true, scores, "by_position")
    groups = {"border": anomalous & at_border, "centre": anomalous & ~at_border}
    return _measure(groups, anomalous, values, threshold)


def mask_area_ratio(mask: Any) -> float:
    """Return the share of an image that its mask marks, in [0, 1]."""
    return float(np.mean(check_mask(mask, None, "mask", "mask_area_ratio")))


def touches_border(mask: Any) -> bool:
    """Return whether a marked pixel lies in the border, a tenth of the shorter side."""
    marked = check_mask(mask, None, "mask", "touches_border")
    width = max(1, round(BORDER * min(marked.shape)))
    return bool(marked.sum() > marked[width:-width, width:-width].sum())


def _measure(
    groups: dict[str, BoolArray],
    anomalous: BoolArray,
    scores: Float64Array,
    threshold: float | None,
) -> dict[str, Group]:
    """Return what is found of each group of anomalous images that has some."""
    found = {}
    for name, chosen in groups.items():
        n_images = int(chosen.sum())
        if not n_images:
            continue
        with_normal = chosen | ~anomalous
        labels, values = anomalous[with_normal], scores[with_normal]
        recall: tuple[float | None, ...] = (None, None, None)
        if threshold is not None:
            n_found = int((scores[chosen] > threshold).sum())
            test = stats.binomtest(n_found, n_images)
            low, high = test.proportion_ci(CONFIDENCE, "exact")
            recall = (n_found / n_images, float(low), float(high))
        areas = compute_auroc(labels, values), compute_auprc(labels, values)
        found[str(name)] = Group(n_images, *areas, *recall)
    return found
