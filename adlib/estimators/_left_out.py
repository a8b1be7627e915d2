"""Scores of training images that do not vouch for themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from adlib._typing import Float32Array, Int64Array
from adlib._validation import describe, refusal
from adlib.estimators._patches import Patches
from adlib.images import Images
from adlib.metrics import lowest_rate

FEWEST_IMAGES = 3  # two others, of which a covariance can be made


def check_left_out(X: Images, n_images: int | None, rate: float, owner: str) -> None:
    """Raise unless images can be left out and a rate be promised from them.

    Args:
        X: The training images; they are read a second time.
        n_images: How many there are, where that is known.
        rate: The false-positive rate asked for.
        owner: What errors call the method that was given them.
    """
    if not isinstance(X, str | os.PathLike) and not hasattr(X, "__getitem__"):
        rule = "images in a fixed order that can be read twice, to leave each one out"
        remedy = "Pass a list or a folder, or call calibrate with images held out."
        raise ValueError(refusal("X", owner, rule, describe(X), remedy))
    if n_images is None:
        return
    if n_images < FEWEST_IMAGES:
        rule = f"at least {FEWEST_IMAGES} images, to leave each one out"
        raise ValueError(refusal("X", owner, rule, str(n_images)))
    if rate < lowest_rate(n_images):
        rule = f"at least {lowest_rate(n_images):.3g} for {n_images} images"
        raise ValueError(refusal("false_positive_rate", owner, rule, rate))


def left_out_scores(
    patches: Iterable[Patches],
    names: Sequence[str],
    score: Callable[[Float32Array, Int64Array], Float32Array],
    owner: str,
) -> Float32Array:
    """Return the score of each training image as if it had not been learned from.

    Args:
        patches: Embeddings of the training images, in order.
        names: What the training images are called.
        score: Scores embeddings of the images with the given numbers, without them.
        owner: What errors call the method that was given them.

    Raises:
        ValueError: They are not the training images in their order.
    """
    rule = f"the {len(names)} images that fit learned from, in the same order"
    parts: list[Float32Array] = []
    first = 0
    for batch, embeddings in patches:
        if not batch.names:
            continue
        last = first + len(batch.names)
        for number, name in enumerate(batch.names, start=first):
            if number >= len(names) or name != names[number]:
                came = f"{name!r} as number {number}"
                raise ValueError(refusal("X", owner, rule, came))
        parts.append(score(embeddings, np.arange(first, last)))
        first = last
    if first < len(names):
        raise ValueError(refusal("X", owner, rule, f"{first} images"))
    return np.concatenate(parts)


def left_out_squared(squared: Float32Array, n_images: int) -> Float32Array:
    """Return squared Mahalanobis distances of learned points, had each been left out.

    With n points, their mean m and covariance S, and q = r' (S + e I)^-1 r the distance
    of one of them, r = x - m, what it would be with mean and covariance of the other
    n - 1 points follows from q alone (Sherman and Morrison):

        n^2 (n - 2) q / ((n - 1)^3 - n (n - 1) q),

    where the regulariser e of the others is taken as e (n - 1) / (n - 2).

    Args:
        squared: q, any shape.
        n_images: n, at least 3.
    """
    n = float(n_images)
    q = squared.astype(np.float64)
    # q stays below (n - 1)^2 / n; the floor holds where float32 has rounded it up.
    rest = np.maximum((n - 1) ** 3 - n * (n - 1) * q, 1e-6 * (n - 1) ** 3)
    return (n**2 * (n - 2) * q / rest).astype(np.float32)
