"""Leave out the patches of training images that no other image vouches for."""

from __future__ import annotations

import numpy as np

from adlib._progress import ProgressBar
from adlib._typing import Float32Array, Int64Array
from adlib._validation import check_ratio, describe, refusal
from adlib.estimators._patches import Points
from adlib.estimators._settings import Settings
from adlib.neighbors import MemoryBank

HIGHEST = 0.5  # share that may be left out
# Patches that all are compared with, so that time grows with their number alone and not
# with its square: those of 62 images at the default 320 pixels.
MOST_COMPARED = 100_000
AT_ONCE = 2**15  # patches between two steps of the bar


def check_contamination(value: object, owner: str) -> None:
    """Raise unless ``value`` is None or a number in (0, 0.5)."""
    if value is not None:
        share = check_ratio(value, "contamination", owner, closed=False)
        if share >= HIGHEST:
            rule = f"None or a number in (0, {HIGHEST})"
            raise ValueError(refusal("contamination", owner, rule, describe(value)))


def vouched(
    points: Points,
    contamination: float,
    known: Float32Array | None,
    settings: Settings,
    owner: str,
) -> Points:
    """Return points without the share that is farthest from other images.

    They take the memory of ``points``, which lose the others.
    """
    numbers = points.numbers
    if numbers is None:
        numbers = np.arange(len(points.embeddings))
    images = numbers // (points.grid[0] * points.grid[1])
    distances = distances_to_others(points.embeddings, images, known, settings, owner)
    kept = without_farthest(distances, contamination)
    rows = compact(points.embeddings, kept)
    return points._replace(embeddings=rows, numbers=numbers[kept])


def distances_to_others(
    points: Float32Array,
    images: Int64Array,
    known: Float32Array | None,
    settings: Settings,
    owner: str,
) -> Float32Array:
    """Return the distance of each point to the nearest one of another image.

    ``images``, (n_points,), are their numbers; ``known``, (n_known, n_features), are
    embeddings of other images yet. Distances are exact up to 100,000 points; of more,
    as many are drawn, and all are compared with those.
    """
    compared = np.arange(len(points))
    if len(points) > MOST_COMPARED:
        rng = np.random.default_rng(settings.random_state)
        compared = np.sort(rng.choice(len(points), MOST_COMPARED, replace=False))
    others, numbers = points[compared], images[compared]
    if known is not None:
        others = np.concatenate([others, known])
        numbers = np.concatenate([numbers, np.full(len(known), -1)])
    if len(np.unique(numbers)) == 1:
        rule = "None for a single image, for whose patches no other can vouch"
        raise ValueError(refusal("contamination", owner, rule, "one image"))
    origins = np.stack([numbers, *np.zeros((2, len(numbers)), np.int64)], axis=1)
    bank = MemoryBank(others, origins=origins, device=settings.device)
    del others
    distances = np.empty(len(points), np.float32)
    shown = settings.progress
    with ProgressBar("Comparing patches", len(points), enabled=shown) as bar:
        for first in range(0, len(points), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            found = bank.kneighbors(points[part], left_out=images[part])
            distances[part] = found.distances[:, 0]
            bar.advance(len(found.distances))
    return distances


def without_farthest(distances: Float32Array, contamination: float) -> Int64Array:
    """Return which are not among the farthest, ascending; of equal ones the first."""
    order = np.argsort(distances, kind="stable")
    return np.sort(order[: len(order) - int(contamination * len(order))])


def compact(points: Float32Array, kept: Int64Array) -> Float32Array:
    """Return the rows ``kept``, ascending, in the memory of ``points`` itself."""
    for first in range(0, len(kept), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        points[part][: len(kept[part])] = points[kept[part]]
    return points[: len(kept)]
