"""Scores of training images that do not vouch for themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from adlib._typing import Float32Array
from adlib._validation import describe, refusal
from adlib.estimators._patches import Patches
from adlib.images import Images
from adlib.thresholds import lowest_rate

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


def check_same_images(
    patches: Iterable[Patches],
    names: Sequence[str],
    digests: Sequence[str],
    owner: str,
) -> Iterator[Patches]:
    """Pass embeddings on, as long as they are of the training images in their order.

    Args:
        patches: Embeddings and digests of the images.
        names: What the training images are called.
        digests: Of their pixels; empty where a model of an earlier version knows none.
        owner: What errors call the method that was given them.

    Raises:
        ValueError: They are others, or too few.
    """
    rule = f"the {len(names)} images that fit learned from, in the same order"
    n_read = 0
    for read in patches:
        for name, digest in zip(read.batch.names, read.digests, strict=True):
            came = f"{name!r} as number {n_read}"
            if n_read >= len(names) or name != names[n_read]:
                raise ValueError(refusal("X", owner, rule, came))
            if digests[n_read] not in ("", digest):
                raise ValueError(refusal("X", owner, rule, f"{came}, other pixels"))
            n_read += 1
        yield read
    if n_read < len(names):
        raise ValueError(refusal("X", owner, rule, f"{n_read} images"))


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
