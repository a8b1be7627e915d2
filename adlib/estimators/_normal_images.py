"""Which images are learned from: those that labels call normal and that can be read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

from adlib._typing import BoolArray
from adlib.exceptions import ImageError, SkippedImagesWarning
from adlib.images import Failure, Images, PixelFormat, Source, open_source
from adlib.images._sources import Again, Item

MOST_LISTED = 5  # skipped images that a warning names


def open_normal(
    X: Images, anomalous: BoolArray | None, owner: str, pixel_format: PixelFormat
) -> Source:
    """Open a source; keep what labels, where there are any, say is normal.

    Without labels a folder must not hold folders of defects, as far as names tell.
    """
    source = open_source(X, owner, pixel_format, good_alone=anomalous is None)
    return source if anomalous is None else _keep_normal(source, anomalous, owner)


def _keep_normal(source: Source, anomalous: BoolArray, owner: str) -> Source:
    """Return the items that labels call normal; raise if the numbers differ."""
    if source.n_items is not None and source.n_items != len(anomalous):
        raise _wrong_length(len(anomalous), source.n_items, owner)
    if anomalous.all():
        raise ImageError(
            f"X of {owner} must hold at least one usable normal image; got none: y "
            f"labels all {len(anomalous)} anomalous."
        )

    def items() -> Iterator[Item]:
        n_items = 0
        for n_items, item in enumerate(source.items, start=1):
            if n_items > len(anomalous):
                raise _wrong_length(len(anomalous), n_items, owner)
            if not anomalous[n_items - 1]:
                yield item
        if n_items < len(anomalous):
            raise _wrong_length(len(anomalous), n_items, owner)

    return replace(source, items=Again(items), n_items=int((~anomalous).sum()))


def _wrong_length(n_labels: int, n_images: int, owner: str) -> ValueError:
    return ValueError(
        f"y of {owner} must hold one label for each image of X; got {n_labels} labels "
        f"and {n_images} images or more."
    )


def check_any_usable(
    names: Sequence[str], skipped: Sequence[Failure], owner: str
) -> None:
    """Raise unless there is an image to learn from."""
    if not names:
        raise ImageError(
            f"X of {owner} must hold at least one usable normal image; got none "
            f"({len(skipped)} skipped)."
        )


def warn_of_skipped(skipped: list[Failure]) -> None:
    """Warn once of all skipped images, naming the first few."""
    if not skipped:
        return
    listed = "; ".join(failure.reason for failure in skipped[:MOST_LISTED])
    more = len(skipped) - MOST_LISTED
    rest = f"; and {more} more" if more > 0 else ""
    warnings.warn(
        f"{len(skipped)} images were skipped: {listed}{rest}",
        SkippedImagesWarning,
        stacklevel=3,
    )
