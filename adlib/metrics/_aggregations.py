"""From an anomaly map to one score for the image, and which way serves best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import Float32Array, Float64Array
from adlib._validation import check_option, check_positive, check_ratio, refusal
from adlib.metrics._checks import check_heatmap, check_labels
from adlib.metrics._image_metrics import compute_auprc, compute_auroc, compute_best_f1

MapAggregation: TypeAlias = Literal["max", "mean", "percentile", "top_mean"]
MAP_AGGREGATIONS: tuple[MapAggregation, ...] = ("max", "mean", "percentile", "top_mean")
HIGHEST_PERCENTILE = 100.0


class AggregationRow(NamedTuple):
    """One way to aggregate maps, and how well its scores tell images apart.

    Attributes:
        aggregation: "max", "mean", "percentile" or "top_mean".
        auroc: Area under the ROC curve.
        average_precision: Average precision.
        best_f1: The best F1 over all thresholds, chosen on these very images.
        threshold: Where that is.
    """

    aggregation: MapAggregation
    auroc: float
    average_precision: float
    best_f1: float
    threshold: float


def top_mean_scores(patch_scores: Float32Array, top_ratio: float) -> Float32Array:
    """Return the mean of each image's highest scores.

    Args:
        patch_scores: (n_images, n_patches), higher = more anomalous.
        top_ratio: Which fraction of an image's patches counts, in (0, 1]; at least one
            patch does. It is not checked here.

    Returns:
        (n_images,), summed in float64, the lowest first, so that the order of an
        image's patches changes nothing.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import top_mean_scores
        >>> scores = np.array([[1.0, 4.0, 2.0, 3.0]], np.float32)
        >>> top_mean_scores(scores, 0.5)
        array([3.5], dtype=float32)
    """
    n_patches = patch_scores.shape[1]
    n_top = max(1, math.floor(top_ratio * n_patches))
    top = np.partition(patch_scores, n_patches - n_top, axis=1)[:, -n_top:]
    # Sorted, so that the sum does not depend on the order partition left.
    mean: Float32Array = np.sort(top, axis=1).mean(axis=1, dtype=np.float64)
    return mean.astype(np.float32)


def aggregate_maps(
    heatmaps: Iterable[Any],
    aggregation: MapAggregation = "max",
    *,
    percentile: float = 99.0,
    top_ratio: float = 0.01,
) -> Float64Array:
    """Return one score for each map.

    Args:
        heatmaps: Anomaly maps, (height, width) each, higher = more anomalous; taken
            in float32, one at a time. Images may differ in size.
        aggregation: "max", the highest value; "mean", of all pixels; "percentile", a
            high one, interpolated between pixels; "top_mean", the mean of the highest
            share of pixels.
        percentile: Which one, in (0, 100].
        top_ratio: Which share, in (0, 1]; at least one pixel.

    Returns:
        (n_images,), in the order of the maps, higher = more anomalous.

    Raises:
        TypeError: Maps or numbers are of the wrong kind.
        ValueError: A map is not (height, width), is empty, or holds NaN or infinity;
            there is none; or a number or name is out of its range.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import aggregate_maps
        >>> maps = np.arange(8.0).reshape(2, 2, 2)
        >>> aggregate_maps(maps, "top_mean", top_ratio=0.5).tolist()
        [2.5, 6.5]
    """
    check_option(aggregation, "aggregation", "aggregate_maps", MAP_AGGREGATIONS)
    chosen: tuple[MapAggregation, ...] = (aggregation,)
    found = _aggregate(heatmaps, chosen, percentile, top_ratio, "aggregate_maps")
    return found[aggregation]


def compare_aggregations(
    heatmaps: Iterable[Any],
    y_true: ArrayLike,
    *,
    percentile: float = 99.0,
    top_ratio: float = 0.01,
) -> tuple[AggregationRow, ...]:
    """Say how well images are told apart by each way to aggregate their maps.

    Args:
        heatmaps: See ``aggregate_maps``; read once.
        y_true: Label of each image, (n_images,), 0 normal and 1 anomalous, both.
        percentile: See ``aggregate_maps``.
        top_ratio: See ``aggregate_maps``.

    Returns:
        One row for each of "max", "mean", "percentile" and "top_mean".

    Raises:
        TypeError: Maps, labels or numbers are of the wrong kind.
        ValueError: As for ``aggregate_maps``; or labels are not one an image, or only
            of one kind.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import compare_aggregations
        >>> maps = np.zeros((4, 8, 8))
        >>> maps[:2, 0, 0], maps[2:, :2, :2] = 1.0, 0.9  # noise, and defects
        >>> rows = compare_aggregations(maps, [0, 0, 1, 1])
        >>> [(row.aggregation, row.auroc) for row in rows[:2]]
        [('max', 0.0), ('mean', 1.0)]
    """
    owner = "compare_aggregations"
    anomalous = check_labels(y_true, owner)
    found = _aggregate(heatmaps, MAP_AGGREGATIONS, percentile, top_ratio, owner)
    n_maps = len(found["max"])
    if n_maps != len(anomalous):
        rule = f"as many as y_true ({len(anomalous)})"
        raise ValueError(refusal("heatmaps", owner, rule, f"{n_maps}"))
    return tuple(
        AggregationRow(
            aggregation,
            compute_auroc(anomalous, scores),
            compute_auprc(anomalous, scores),
            *compute_best_f1(anomalous, scores),
        )
        for aggregation, scores in found.items()
    )


def _aggregate(
    heatmaps: Iterable[Any],
    chosen: tuple[MapAggregation, ...],
    percentile: float,
    top_ratio: float,
    owner: str,
) -> dict[MapAggregation, Float64Array]:
    """Return the scores by each chosen aggregation, from one look at the maps."""
    percentile = check_positive(percentile, "percentile", owner)
    if percentile > HIGHEST_PERCENTILE:
        rule = "a number in (0, 100]"
        raise ValueError(refusal("percentile", owner, rule, percentile))
    top_ratio = check_ratio(top_ratio, "top_ratio", owner, closed=True)

    def score(heatmap: Float32Array, aggregation: MapAggregation) -> float:
        if aggregation == "max":
            return float(heatmap.max())
        if aggregation == "mean":
            return float(heatmap.mean(dtype=np.float64))
        if aggregation == "percentile":
            return float(np.percentile(heatmap.astype(np.float64), percentile))
        return float(top_mean_scores(heatmap.reshape(1, -1), top_ratio)[0])

    rows = []
    for number, values in enumerate(heatmaps):
        heatmap = check_heatmap(values, number, "heatmaps", owner)
        rows.append([score(heatmap, aggregation) for aggregation in chosen])
    if not rows:
        raise ValueError(refusal("heatmaps", owner, "at least one map", "none"))
    columns = np.array(rows).T
    return dict(zip(chosen, columns, strict=True))
