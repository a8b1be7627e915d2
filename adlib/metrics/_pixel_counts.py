"""Count normal pixels at and between the scores of anomalous ones, without sorting.

Anomalous pixels are few, so their distinct scores are the levels; a normal pixel is
only counted: at which level, or between which two, its score lies.
"""

from __future__ import annotations

import numpy as np

from adlib._compile import compiled
from adlib._threads import SLICES_PER_THREAD, Threads, available_threads, run_in_slices
from adlib._typing import Float32Array, Int32Array, Int64Array
from adlib.metrics._masked_maps import MaskedMaps

LAST = 2**16 - 1  # bucket of the range of levels; each holds few to compare with


def count_normal(images: MaskedMaps, levels: Float32Array) -> Int64Array:
    """Return how many normal pixels lie between rising levels and at them, (2 n + 1,).

    Entry 2 k are those below level k and above the one before, 2 k + 1 those at it.
    """
    low = float(levels[0])
    span = float(levels[-1]) - low  # float32 could overflow
    scale = LAST / span if span > 0 else 0.0
    # As _count has it; each operation rounds in order, so that a bucket never falls as
    # scores rise, and only within a bucket levels are compared.
    buckets = ((levels.astype(np.float64) - low) * scale).astype(np.int64)
    # The first level of each bucket; one more, so that each bucket has an end.
    starts = np.searchsorted(np.minimum(buckets, LAST), np.arange(LAST + 2))
    n_threads = min(available_threads(), len(images))
    totals: list[Int64Array] = []

    def work(first: int, last: int) -> None:
        own = np.zeros(2 * len(levels) + 1, np.int64)
        for number in range(first, last):
            image = images.image(number)
            has_regions = image.n_regions > 0
            _count(image.scores, image.regions, has_regions, levels, starts, scale, own)
        totals.append(own)

    # One slice a thread: each has counts of its own.
    with Threads(n_threads) as pool:
        n_slices = n_threads * (SLICES_PER_THREAD if len(levels) <= LAST else 1)
        run_in_slices(pool, n_slices, len(images), work)
    return sum(totals[1:], totals[0])


@compiled()
def _count(
    scores: Float32Array,
    regions: Int32Array,
    has_regions: bool,
    levels: Float32Array,
    starts: Int64Array,
    scale: float,
    counts: Int64Array,
) -> None:  # pragma: no cover - compiled
    """Count each normal pixel of an image at its level or between two of them."""
    height, width = scores.shape
    low, high = np.float64(levels[0]), levels[-1]
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
            bucket = min(np.int64((score - low) * scale), np.int64(LAST))
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
