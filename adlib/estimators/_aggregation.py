"""From patch scores to one score for the image."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from adlib._typing import Float32Array, Int64Array
from adlib.neighbors import MemoryBank

Aggregation: TypeAlias = Literal["top_mean", "max", "reweighted"]
AGGREGATIONS: tuple[Aggregation, ...] = ("top_mean", "max", "reweighted")


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

    where N_b(m*) are the b bank entries nearest to m*, itself included.

    Args:
        patch_scores: Distance of each patch to the bank, (n_images, n_patches).
        nearest: Bank entry nearest to each patch, (n_images, n_patches).
        embeddings: (n_images, n_patches, n_features).
        bank: The memory bank.
        n_neighbors: b, at least 2; a smaller bank lowers it to its size.
        left_out: For each image the training image whose entries do not count,
            (n_images,); None: all count.

    Returns:
        (n_images,) float32.

    Raises:
        ValueError: The bank has a single entry, beside which nothing is dense.

    References:
        Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022,
        equation 7 (there b = 9).
    """
    if len(bank) < 2:  # noqa: PLR2004 - an entry and another beside it
        raise ValueError(
            'aggregation="reweighted" of PatchCore needs at least 2 bank entries; got '
            f"{len(bank)}. Raise coreset."
        )
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
