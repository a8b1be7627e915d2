"""From patch scores, or an anomaly map, to one score for the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import check_option, check_positive, check_ratio, refusal
from adlib.metrics import best_f1, compute_auprc, compute_auroc
from adlib.metrics._checks import check_labels, check_map
from adlib.neighbors import MemoryBank

Aggregation: TypeAlias = Literal["top_mean", "max", "reweighted"]
MapAggregation: TypeAlias = Literal["max", "mean", "percentile", "top_mean"]
HIGHEST_PERCENTILE = 100.0


def n_highest(n_patches: int, top_ratio: float) -> int:
    """Return how many of an image's patch scores count, one at least."""
    return max(1, math.floor(top_ratio * n_patches))


def top_mean_scores(patch_scores: Float32Array, top_ratio: float) -> Float32Array:
    """Return the mean of each image's highest patch scores."""
    n_patches = patch_scores.shape[1]
    n_top = n_highest(n_patches, top_ratio)
    top = np.partition(patch_scores, n_patches - n_top, axis=1)[:, -n_top:]
    # Sorted, so that the sum does not depend on the order partition left.
    mean: Float32Array = np.sort(top, axis=1).mean(axis=1, dtype=np.float64)
    return mean.astype(np.float32)


def reweighted_scores(
    patch_scores: Float32Array,
    nearest: Int64Array,
    embeddings: Float32Array,
    bank: MemoryBank,
    n_neighbors: int,
    left_out: Int64Array | None = None,
) -> Float32Array:
    """Return each image's highest patch score, weighted by the density around it.

    A patch whose nearest bank entry m* lies among others like it is less surprising
    than one whose m* stands alone: with m the image's most anomalous patch,

        s = (1 - exp |m - m*| / sum over m' in N_b(m*) of exp |m - m'|) |m - m*|,

    where N_b(m*) are the b bank entries nearest to m*, itself included (Roth et al.,
    CVPR 2022, equation 7, where b = 9). A smaller bank lowers b to its size. Entries
    from the training image ``left_out``, one for each image, do not count, neither in
    that size.
    """
    if len(bank) < 2:  # noqa: PLR2004 - an entry and another beside it
        raise ValueError(
            'aggregation="reweighted" of PatchCore needs at least 2 bank entries; got '
            f"{len(bank)}. Raise coreset."
        )
    if left_out is not None and len(left_out) > 1:  # each has a b of its own
        each = zip(
            patch_scores[:, None],
            nearest[:, None],
            embeddings[:, None],
            left_out[:, None],
            strict=True,
        )
        ones = [
            reweighted_scores(p, n, e, bank, n_neighbors, own) for p, n, e, own in each
        ]
        return np.concatenate(ones)
    images = np.arange(len(patch_scores))
    worst = patch_scores.argmax(axis=1)
    patches = embeddings[images, worst].astype(np.float64)
    entries = bank.embeddings[nearest[images, worst]].astype(np.float64)
    # In float64 as below, so that the fraction cannot exceed 1.
    highest = np.linalg.norm(patches - entries, axis=1)
    n_neighbors = min(n_neighbors, bank.fewest_left(left_out))
    around = bank.kneighbors(entries, n_neighbors, left_out=left_out).indices
    neighbours = bank.embeddings[around].astype(np.float64)
    distances = np.linalg.norm(patches[:, None] - neighbours, axis=2)
    # The fraction is that of a softmax; subtracting the maximum keeps exp finite.
    shift = distances.max(axis=1)
    share = np.exp(highest - shift) / np.exp(distances - shift[:, None]).sum(axis=1)
    weighted: Float32Array = ((1.0 - share) * highest).astype(np.float32)
    return weighted


def aggregate_maps(
    anomaly_maps: Iterable[Any],
    aggregation: MapAggregation = "max",
    *,
    percentile: float = 99.0,
    top_ratio: float = 0.01,
) -> Float64Array:
    """Return one score for each anomaly map.

    Args:
        anomaly_maps: (height, width) each, higher = more anomalous; taken in float32,
            one at a time. Images may differ in size.
        aggregation: "max"; "mean" of all pixels; "percentile", interpolated between
            pixels; or "top_mean", the mean of the highest pixels.
        percentile: Which one, in (0, 100].
        top_ratio: Share of the pixels of "top_mean", in (0, 1]; at least one pixel.

    Returns:
        (n_images,), in the order of the maps, higher = more anomalous.

    Raises:
        TypeError, ValueError: There is no map, or an argument is not as stated.

    Example:
        >>> import numpy as np
        >>> from adlib.estimators import aggregate_maps
        >>> maps = np.arange(8.0).reshape(2, 2, 2)
        >>> aggregate_maps(maps, "top_mean", top_ratio=0.5).tolist()
        [2.5, 6.5]
    """
    owner = "aggregate_maps"
    check_option(aggregation, "aggregation", owner, get_args(MapAggregation))
    found = _aggregate(anomaly_maps, (aggregation,), percentile, top_ratio, owner)
    return found[aggregation]


class AggregationRow(NamedTuple):
    """Metrics of the image scores of one aggregation; ``threshold`` is that of F1."""

    aggregation: MapAggregation
    auroc: float
    average_precision: float
    best_f1: float
    threshold: float


def compare_aggregations(
    anomaly_maps: Iterable[Any],
    y_true: ArrayLike,
    *,
    percentile: float = 99.0,
    top_ratio: float = 0.01,
) -> tuple[AggregationRow, ...]:
    """Return the metrics of each aggregation of the same maps, which are read once."""
    owner = "compare_aggregations"
    anomalous = check_labels(y_true, owner)
    chosen = get_args(MapAggregation)
    found = _aggregate(anomaly_maps, chosen, percentile, top_ratio, owner)
    return tuple(
        AggregationRow(
            aggregation,
            compute_auroc(anomalous, scores),
            compute_auprc(anomalous, scores),
            *best_f1(anomalous, scores),
        )
        for aggregation, scores in found.items()
    )


def _aggregate(
    anomaly_maps: Iterable[Any],
    chosen: tuple[MapAggregation, ...],
    percentile: float,
    top_ratio: float,
    owner: str,
) -> dict[MapAggregation, Float64Array]:
    """Return the scores by each chosen aggregation, from one pass over the maps."""
    percentile = check_positive(percentile, "percentile", owner)
    if percentile > HIGHEST_PERCENTILE:
        rule = "a number in (0, 100]"
        raise ValueError(refusal("percentile", owner, rule, percentile))
    top_ratio = check_ratio(top_ratio, "top_ratio", owner, closed=True)
    score_by: dict[MapAggregation, Callable[[Float32Array], Any]] = {
        "max": np.max,
        "mean": lambda values: values.mean(dtype=np.float64),
        "percentile": lambda values: np.percentile(
            values.astype(np.float64), percentile
        ),
        "top_mean": lambda values: top_mean_scores(values.reshape(1, -1), top_ratio)[0],
    }
    rows = []
    for number, values in enumerate(anomaly_maps):
        anomaly_map = check_map(values, number, "anomaly_maps", owner)
        rows.append([score_by[aggregation](anomaly_map) for aggregation in chosen])
    if not rows:
        raise ValueError(refusal("anomaly_maps", owner, "at least one map", "none"))
    columns = np.array(rows, np.float64).T
    return dict(zip(chosen, columns, strict=True))
