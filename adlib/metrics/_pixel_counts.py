"""Count pixels above every threshold that matters, without sorting them all.

Only anomalous pixels change the true-positive rate and the regions' overlap, and they
are few. So their distinct scores are the levels, and each normal pixel is only counted:
at which level, or between which two, its score lies. All curves follow from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from adlib._compile import compiled
from adlib._threads import SLICES_PER_THREAD, Threads, available_threads, run_in_slices
from adlib._typing import Float32Array, Float64Array, Int32Array, Int64Array
from adlib._validation import refusal
from adlib.metrics._masked_maps import MaskedMaps

BUCKETS = 2**16  # of the range of levels; each holds few levels to compare with


class PixelCounts(NamedTuple):
    """How many pixels score at and above each level, highest level first.

    Attributes:
        levels: Distinct scores of anomalous pixels, (n,) float32, falling.
        n_anomalous: Anomalous pixels at or above each level, (n,) int64.
        n_normal_above: Normal pixels above each level, (n,) int64.
        n_normal: Normal pixels at or above each level, (n,) int64.
        overlap: Mean over all regions of the share at or above each level, (n,)
            float64, in [0, 1].
        n_normal_total: All normal pixels.
        n_regions: Regions, 8-connected, of all masks.
    """

    levels: Float32Array
    n_anomalous: Int64Array
    n_normal_above: Int64Array
    n_normal: Int64Array
    overlap: Float64Array
    n_normal_total: int
    n_regions: int


def count_pixels(masks_true: Iterable[Any], anomaly_maps: Iterable[Any]) -> PixelCounts:
    """Return the counts that all pixel and region metrics follow from.

    Sequences are read twice, one image at a time, the second time by several threads;
    of other iterables the maps are kept. Beside that it takes about 50 bytes an
    anomalous pixel. Raises as ``PixelCurves.of`` says.
    """
    pairs = MaskedMaps(masks_true, anomaly_maps, "pixel metrics")
    scores, weights, regions_before, n_pixels = [], [], 0, 0
    for image in pairs:
        n_pixels += image.scores.size
        if not image.n_regions:
            continue
        chosen = image.regions > 0
        region = image.regions[chosen]
        sizes = np.bincount(region)
        scores.append(image.scores[chosen])
        weights.append(1.0 / sizes[region])
        regions_before += image.n_regions
    if not scores or sum(map(len, scores)) == n_pixels:
        kind = "anomalous" if not scores else "normal"
        rule = "with normal and anomalous pixels"
        came = f"no {kind} pixel"
        raise ValueError(refusal("masks_true", "pixel metrics", rule, came))
    levels, place = np.unique(np.concatenate(scores), return_inverse=True)
    n_at_level = np.bincount(place, minlength=len(levels))
    overlap = np.bincount(place, np.concatenate(weights), len(levels)) / regions_before
    counts = _count_normal(pairs, levels)
    # From the highest level down; counts[2 k] lie below level k, counts[2 k + 1] at it.
    from_above = np.cumsum(counts[::-1])
    return PixelCounts(
        levels=levels[::-1].copy(),
        n_anomalous=np.cumsum(n_at_level[::-1]),
        n_normal_above=from_above[0:-1:2],
        n_normal=from_above[1::2],
        overlap=np.minimum(np.cumsum(overlap[::-1]), 1.0),
        n_normal_total=int(from_above[-1]),
        n_regions=regions_before,
    )


def _count_normal(pairs: MaskedMaps, levels: Float32Array) -> Int64Array:
    """Return how many normal pixels lie at each of the rising levels and between them.

    Returns:
        (2 n + 1,): entry 2 k those below level k and above the one before, entry
        2 k + 1 those at level k, the last those above all.
    """
    low, span = levels[0], np.float32(levels[-1] - levels[0])
    scale = np.float32((BUCKETS - 1) / span) if span > 0 else np.float32(0)
    if not np.isfinite(scale):
        scale = np.float32(0)
    # The first level of each bucket; one more, so that each bucket has an end.
    buckets = _buckets_of(levels, low, scale)
    starts = np.searchsorted(buckets, np.arange(BUCKETS + 1)).astype(np.int64)
    n_threads = min(available_threads(), len(pairs))
    totals: list[Int64Array] = []

    def work(first: int, last: int) -> None:
        own = np.zeros(2 * len(levels) + 1, np.int64)
        for number in range(first, last):
            image = pairs.image(number)
            has_regions = image.n_regions > 0
            _count(image.scores, image.regions, has_regions, levels, starts, scale, own)
        totals.append(own)

    # One slice a thread: each has counts of its own.
    with Threads(n_threads) as pool:
        n_slices = n_threads * (SLICES_PER_THREAD if len(levels) < BUCKETS else 1)
        run_in_slices(pool, n_slices, len(pairs), work)
    return sum(totals[1:], totals[0])


@compiled(inline="always")
def _bucket_of(
    value: np.float32, low: np.float32, scale: np.float32
) -> np.int64:  # pragma: no cover - compiled
    """Return the bucket of a value; it never falls as values rise.

    Each operation rounds in order, so that of two values in different buckets the one
    in the lower bucket is lower, exactly; only within a bucket levels are compared.
    """
    return min(np.int64((value - low) * scale), np.int64(BUCKETS - 1))


@compiled()
def _buckets_of(
    values: Float32Array, low: np.float32, scale: np.float32
) -> Int64Array:  # pragma: no cover - compiled
    buckets = np.empty(len(values), np.int64)
    for i in range(len(values)):
        buckets[i] = _bucket_of(values[i], low, scale)
    return buckets


@compiled()
def _count(
    scores: Float32Array,
    regions: Int32Array,
    has_regions: bool,
    levels: Float32Array,
    starts: Int64Array,
    scale: np.float32,
    counts: Int64Array,
) -> None:  # pragma: no cover - compiled
    """Count each normal pixel of an image at its level or between two of them."""
    height, width = scores.shape
    low, high = levels[0], levels[-1]
    n_below = n_above = 0
    for y in range(height):
        for x in range(width):
            if has_regions and regions[y, x] != 0:
                continue
            score = scores[y, x]
            if score < low:
                n_below += 1
                continue
            if score > high:
                n_above += 1
                continue
            bucket = _bucket_of(score, low, scale)
            first, end = starts[bucket], starts[bucket + 1]
            while first < end:  # the first level that is not below the score
                middle = (first + end) // 2
                if levels[middle] < score:
                    first = middle + 1
                else:
                    end = middle
            at_level = first < len(levels) and levels[first] == score
            counts[2 * first + at_level] += 1
    counts[0] += n_below
    counts[2 * len(levels)] += n_above
