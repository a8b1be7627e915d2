"""Keep a memory bank at a fixed size while images come: merge, then reduce."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from adlib._scratch import scratch_array
from adlib._typing import Float32Array, Int64Array
from adlib.estimators._patches import Pass, Points
from adlib.images import Source

IMAGES_AT_ONCE = 64  # that are merged with the bank, whatever the size of a batch
MOST_COUNTED = 10**9 - 1  # that NumPy draws from: of more, new patches count a bit more


class Held(NamedTuple):
    """What is known of a memory bank while images are added to it.

    ``rows`` are (n_bank, n_features), ``origins`` (n_bank, 3) of images that have these
    ``names`` and ``digests``; ``radius`` is a bound of the covering radius, if any.
    """

    rows: Float32Array
    origins: Int64Array
    names: list[str]
    digests: list[str]
    n_patches: int
    radius: float | None

    def grown(
        self,
        rows: Float32Array,
        origins: Int64Array,
        images: Pass,
        n_patches: int,
        reach: float | None,
    ) -> Held:
        """Return it with entries of images, which cover theirs within ``reach``."""
        origins = origins + np.array([len(self.names), 0, 0])
        known = self.radius is not None and reach is not None
        return Held(
            np.concatenate([self.rows, rows]),
            np.concatenate([self.origins, origins]),
            [*self.names, *images.names],
            [*self.digests, *images.digests],
            self.n_patches + n_patches,
            max(self.radius or 0.0, reach or 0.0) if known else None,
        )

    def reduced(
        self,
        rows: Float32Array,
        origins: Int64Array,
        images: Pass,
        n_patches: int,
        reach: float | None,
    ) -> Held:
        """Return entries that cover it and images within ``reach``.

        Patches that an entry covered are now covered by what covers the entry. Only
        images that have entries are kept.
        """
        names = [*self.names, *images.names]
        digests = [*self.digests, *images.digests]
        own, numbers = np.unique(origins[:, 0], return_inverse=True)
        known = self.radius is not None and reach is not None
        return Held(
            rows,
            np.column_stack([numbers, origins[:, 1:]]),
            [names[image] for image in own],
            [digests[image] for image in own],
            self.n_patches + n_patches,
            (self.radius or 0.0) + (reach or 0.0) if known else None,
        )


def in_parts(source: Source) -> Iterator[Source]:
    """Yield the images of a source, so many at once; each is read when asked for."""
    items, n_left = iter(source.items), source.n_items
    for first in items:
        part = chain([first], islice(items, IMAGES_AT_ONCE - 1))
        n_items = None
        if n_left is not None:
            n_items = min(IMAGES_AT_ONCE, n_left)
            n_left -= n_items
        yield replace(source, items=part, n_items=n_items)


def union(
    rows: Float32Array, origins: Int64Array, points: Points, n_images: int
) -> Points:
    """Return the entries of a bank, then the points of further images.

    ``rows`` are (n_bank, n_features), ``origins`` (n_bank, 3), of ``n_images`` images.
    """
    n_known, n_new = len(rows), len(points.embeddings)
    shape = n_known + n_new, rows.shape[1]
    both = scratch_array(shape, np.float32, points.folder)
    both[:n_known], both[n_known:] = rows, points.embeddings
    height, width = points.grid
    known = np.ravel_multi_index(tuple(origins.T), (n_images, height, width))
    new = np.arange(n_new) if points.numbers is None else points.numbers
    numbers = np.concatenate([known, new + n_images * height * width])
    return Points(both, points.grid, numbers, points.folder)


def drawn(
    n_known: int, n_new: int, n_seen: int, size: int, seed: int | None
) -> Int64Array:
    """Return ``size`` of ``n_known`` and then ``n_new`` points, ascending, at random.

    The known ones were drawn from ``n_seen``: each of these and of the new ones has the
    same chance, as in reservoir sampling.
    """
    rng = np.random.default_rng(None if seed is None else [seed, n_seen])
    n_counted = min(n_seen, MOST_COUNTED - n_new)
    n_kept = int(rng.hypergeometric(n_counted, n_new, min(size, n_counted + n_new)))
    n_kept = min(max(n_kept, size - n_new), n_known)
    known = rng.choice(n_known, n_kept, replace=False)
    new = rng.choice(n_new, size - n_kept, replace=False) + n_known
    return np.sort(np.concatenate([known, new]))
