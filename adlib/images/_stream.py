"""Decode images in worker threads ahead of their use, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from adlib._threads import Process, Threads, available_threads
from adlib._typing import Float32Array, Float64Array
from adlib.exceptions import AlignmentError, ImageError
from adlib.images._align import Alignment, aligned
from adlib.images._pixels import GREY, letterbox, resize
from adlib.images._region import RegionOfInterest
from adlib.images._sources import Item, Source

OnError: TypeAlias = Literal["raise", "skip"]
AHEAD_PIXELS = 2**24  # of images that wait: 200 MB
MOST_WORKERS = 8  # decoding rarely keeps more threads busy beside a model


class Failure(NamedTuple):
    """An image that was skipped.

    Attributes:
        position: Which image of the source it is, 0 the first.
        name: Its path, or "image 7" for the eighth of those that have no path.
        reason: What is wrong with it; the text names it.
    """

    position: int
    name: str
    reason: str


class Batch(NamedTuple):
    """Images ready for a backbone.

    Attributes:
        images: (n, 3, height, width) float32 RGB in [0, 1], channels last in memory.
        positions: Which images of the source these are.
        names: Their paths, or "image 7" for the eighth of those that have no path.
        failures: Images of this batch that were skipped; ``images`` may be empty.
        sizes: (height, width) of each image before it was resized, upright.
        shares: With a region, how much of each pixel lies in it, (height, width)
            float32 in [0, 1] for each image; else empty.
        places: With an alignment, how each image lay before it, float64 of shape
            (2, 3) each; else empty.
    """

    images: Float32Array
    positions: list[int]
    names: list[str]
    failures: list[Failure]
    sizes: list[tuple[int, int]]
    shares: list[Float32Array]
    places: list[Float64Array]


def read_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    n_workers: int | None = None,
    on_error: OnError = "raise",
    region: RegionOfInterest | None = None,
    alignment: Alignment | None = None,
) -> Iterator[Batch]:
    """Yield the images of a source in order, decoded and resized, in batches.

    Args:
        source: What ``open_source`` gave.
        image_size: (height, width) to resize to.
        batch_size: Images a batch, skipped ones included; the last may hold fewer.
        n_workers: Decoding threads; None takes one a core, at most 8.
        on_error: "raise" stops at the first unusable image, "skip" goes on and lists
            it among the failures.
        region: Which pixels count; None: all. An image of another size is unusable.
        alignment: Moves images to lie as a reference does. Those that cannot be are
            always among the failures.

    Yields:
        One ``Batch`` of at most ``batch_size`` images, which the caller may change.

    Raises:
        ImageError: An image is unusable and ``on_error`` is "raise".
        TypeError: The source holds something that is no image, whatever ``on_error``.
        MemoryError: There is no room for a batch.

    Warns:
        InputWarning: All 16-bit images use so few of their bits that they are dark, or
            all others are nearly black.

    Note:
        Besides the current batch at most ``batch_size + 2 * n_workers`` images are
        held, and of large ones fewer, so far ahead is the source read; one of unknown
        length, as of a camera, no further than the current batch. It is read in the
        caller's thread.

    Example:
        >>> import numpy as np
        >>> from adlib.images import open_source, read_batches
        >>> source = open_source(np.zeros((3, 32, 32), np.uint8), "example")
        >>> batches = read_batches(source, image_size=(16, 16), batch_size=2)
        >>> [batch.images.shape for batch in batches]
        [(2, 3, 16, 16), (1, 3, 16, 16)]
    """
    workers = n_workers or min(available_threads(), MOST_WORKERS)
    look_ahead = 0
    if source.n_items is not None:
        height, width = image_size
        ahead = max(1, AHEAD_PIXELS // (height * width))
        look_ahead = batch_size + min(2 * workers, ahead)
    items = iter(source.items)
    waiting: deque[tuple[Item, Future[_Loaded]]] = deque()
    begun = Process("An iterator over images", "Call read_batches again there.")
    pool = Threads(workers, thread_name_prefix="adlib-decode")

    def load(item: Item) -> _Loaded:
        return _load(source, item, image_size, region, alignment)

    def submit(n_missing: int) -> None:
        while len(waiting) < max(n_missing, look_ahead):
            item = next(items, None)
            if item is None:
                return
            waiting.append((item, pool.submit(load, item)))

    try:
        while True:
            batch = _open_batch(batch_size, image_size)  # first: it may not fit
            submit(batch_size)
            for n_missing in range(batch_size - 1, -1, -1):
                if not waiting:
                    break
                item, future = waiting.popleft()
                submit(n_missing)
                try:
                    _store(batch, item, future.result(), region)
                except ImageError as error:
                    if on_error == "raise" and not isinstance(error, AlignmentError):
                        raise
                    batch.failures.append(Failure(item.position, item.name, str(error)))
            if not batch.names and not batch.failures:
                break
            # Channels second, as networks have them.
            images = batch.images[: len(batch.names)].transpose(0, 3, 1, 2)
            closed = [batch._replace(images=images)]
            del batch, images  # so that they can be freed before the next are read
            yield closed.pop()
            begun.check()  # before it waits for threads that are not there
        source.used_range.warn()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Loaded(NamedTuple):
    """An image at ``image_size``, with what ``Batch`` says of it."""

    pixels: Float32Array
    size: tuple[int, int]
    share: Float32Array | None
    place: Float64Array | None


def _load(
    source: Source,
    item: Item,
    image_size: tuple[int, int],
    region: RegionOfInterest | None,
    alignment: Alignment | None,
) -> _Loaded:
    pixels = source.read(item)
    share = None if region is None else region.share_of(pixels, item.name)
    size = pixels.shape[0], pixels.shape[1]
    if region is not None and region.boxed:
        resized = letterbox(pixels, image_size, edge=True)
    else:
        resized = resize(pixels, image_size)
    if alignment is None:
        return _Loaded(resized, size, share, None)
    place = alignment.find(pixels, item.name)
    if share is not None:
        share = aligned(share, place)
    return _Loaded(aligned(resized, place), size, share, place)


def _store(
    batch: Batch, item: Item, loaded: _Loaded, region: RegionOfInterest | None
) -> None:
    """Append an image to a batch; raise where its size is not the region's."""
    pixels, size, share, place = loaded
    if region is not None:
        share = region.share(size, item.name) if share is None else share
        batch.shares.append(share)
    colours = pixels[:, :, None] if pixels.ndim == GREY else pixels
    batch.images[len(batch.names)] = colours
    batch.positions.append(item.position)
    batch.names.append(item.name)
    batch.sizes.append(size)
    if place is not None:
        batch.places.append(place)


def _open_batch(batch_size: int, image_size: tuple[int, int]) -> Batch:
    try:
        pixels = np.empty((batch_size, *image_size, 3), np.float32)
    except (MemoryError, ValueError):  # ValueError: more bytes than can be counted
        height, width = image_size
        raise MemoryError(
            f"batch_size and image_size must leave room in memory; got {batch_size} "
            f"images of {height}x{width}, which take "
            f"{batch_size * height * width * 12 / 1e9:.3g} GB. Make either smaller."
        ) from None
    return Batch(pixels, [], [], [], [], [], [])
