"""Trials: which defect is drawn on which good image, and the images as a source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from adlib._typing import AnyArray, BoolArray
from adlib._validation import describe, refusal
from adlib.datasets._synthetic import SyntheticKind, draw_defect
from adlib.images import Images, Source, open_source
from adlib.images._pixels import PixelFormat
from adlib.images._sources import Again, Item

KINDS: tuple[SyntheticKind, ...] = ("scratch", "spot", "stain", "texture")
CONTRASTS = (0.1, 0.2, 0.4)
SMALLEST = 2.0  # pixels
LARGEST = 0.25  # of the smallest image's shorter side
FEWEST = 10  # defects of a curve


class Trial(NamedTuple):
    """A defect to draw; ``image`` is the number of its good image."""

    kind: SyntheticKind
    contrast: float
    size: float
    image: int
    seed: int


def open_again(X: Images, owner: str, pixel_format: PixelFormat) -> Source:
    """Open good images that are read more than once, or raise."""
    if not isinstance(X, str | os.PathLike) and not hasattr(X, "__getitem__"):
        rule = "images in a fixed order that can be read twice"
        remedy = "Pass a list or a folder."
        raise ValueError(refusal("X", owner, rule, describe(X), remedy))
    source = open_source(X, owner, pixel_format, good_alone=True)
    return part_of(source, list(source.items))


def part_of(source: Source, items: Sequence[Item]) -> Source:
    """Return a source of some of the items, numbered anew."""
    numbered = [item._replace(position=i) for i, item in enumerate(items)]
    return Source(numbered, len(numbered), source.pixel_format, source.used_range)


def check_range_of(
    sizes: tuple[float, float] | None, sides: Sequence[tuple[int, int]], owner: str
) -> tuple[float, float]:
    """Return the smallest and the largest size to draw, in pixels, or raise."""
    side = min(map(min, sides))
    if sizes is None:
        return SMALLEST, max(LARGEST * side, 2 * SMALLEST)
    low, high = sizes
    if not 1 <= low < high <= side / 2:
        rule = f"two sizes in [1, {side / 2:g}], half of the smallest image's side"
        raise ValueError(refusal("sizes", owner, rule, describe(sizes)))
    return float(low), float(high)


def flawed_source(
    good: Source,
    trials: Sequence[Trial],
    region: BoolArray | Callable[[AnyArray], AnyArray] | None,
) -> Source:
    """Return the images of trials as a source, of which each is drawn when it is read.

    Their pixels mean what those of the good images do. A region may be a function of
    these, as a detector's may.
    """
    items = list(good.items)
    white = good.pixel_format.max_value or 1.0

    def drawn() -> Iterator[Item]:
        for position, trial in enumerate(trials):
            item = items[trial.image]
            pixels = good.read(item)
            image = draw_defect(
                pixels,
                trial.kind,
                trial.size,
                trial.contrast,
                region=region(pixels) != 0 if callable(region) else region,
                random_state=trial.seed,
            ).image
            if image.dtype.kind == "f":  # read as shares of white
                image = image * np.float32(white)
            yield Item(position, f"{trial.kind} on {item.name}", image)

    return Source(Again(drawn), len(trials), good.pixel_format, good.used_range)
