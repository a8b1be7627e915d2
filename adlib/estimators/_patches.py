"""From images to patch embeddings, batch by batch, in the one loop of all methods."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch

from adlib._progress import ProgressBar
from adlib._threads import Process, Threads, available_threads
from adlib._torch import lone_threads, undisturbed
from adlib._typing import BoolArray, Float32Array, Float64Array, Int64Array
from adlib._validation import refusal
from adlib.estimators._labels import check_one_each
from adlib.estimators._results import Inside
from adlib.estimators._room import Room, Rows
from adlib.estimators._settings import Settings
from adlib.exceptions import ImageError, SkippedImagesWarning
from adlib.images import Failure, Images, Source, open_source, read_batches
from adlib.images._pixels import PixelFormat
from adlib.images._sources import Again, Item

if TYPE_CHECKING:
    from adlib.estimators._resume import Journal

# From images, (n, 3, height, width), to (n, grid_height, grid_width, n_features).
Embed: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

DIGEST_LENGTH = 16  # hexadecimal digits
MOST_LISTED = 5  # skipped images that a warning names
# Images a batch up to which the next batch is embedded while the last is searched: 1.4
# times as many images a second with 1 or 2, none more with 16, which fill every core.
SMALL_BATCH = 4
BATCH_PIXELS = 2**24  # of images that are read at once, where there are so many: 200 MB


class Patches(NamedTuple):
    """The images of one batch, n of them without those that were skipped.

    ``embeddings`` are (n, grid_height, grid_width, n_features), ``positions`` those in
    the source, ``sizes`` (height, width) before resizing; ``digests`` are empty unless
    asked for; ``failures`` are the images that were skipped. With a region the
    embeddings are (n, n_inside, 1, n_features), of the patches inside alone, and
    ``inside`` says which these are, the same in all images of a batch. With an
    alignment ``places`` say how each image lay before it, (2, 3); else it is empty.
    """

    embeddings: Float32Array
    positions: list[int]
    names: list[str]
    sizes: list[tuple[int, int]]
    digests: list[str]
    failures: list[Failure]
    inside: Inside | None = None
    places: Sequence[Float64Array] = ()

    def in_grid(self) -> Float32Array:
        """Return the embeddings in the whole grid, NaN outside of the region."""
        if self.inside is None:
            return self.embeddings
        n_images, _, _, n_features = self.embeddings.shape
        whole = np.full((n_images, *self.grid, n_features), np.nan, np.float32)
        whole[:, self.inside.patches] = self.embeddings[:, :, 0]
        return whole

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the patch grid."""
        if self.inside is not None:
            height, width = self.inside.patches.shape
        else:
            height, width = self.embeddings.shape[1:3]
        return height, width


def embed(
    source: Source,
    embedder: Embed,
    settings: Settings,
    description: str,
    *,
    digests: bool = False,
) -> Generator[Patches]:
    """Yield the patches of a source's images in order, small batches one ahead.

    Streams are read in the caller's thread, and no sooner than they are asked for: the
    next part may be minutes away, and a camera may belong to its thread. ``digests``
    take a few percent of the time.
    """
    height, width = settings.image_size
    # Of large images a few are enough to keep all threads busy.
    n_threads = settings.n_workers or available_threads()
    fits = max(n_threads, BATCH_PIXELS // (height * width))
    settings = settings._replace(batch_size=min(settings.batch_size, fits))
    batches = _embed_in_turn(source, embedder, settings, description, digests)
    begun = Process("An iterator over results", "Call the method again there.")
    if settings.batch_size > SMALL_BATCH or source.n_items is None:
        for patches in batches:
            yield patches
            begun.check()  # before it waits for threads that are not there
        return
    try:
        with Threads(1) as pool:
            coming = pool.submit(next, batches, None)
            while (patches := coming.result()) is not None:
                coming = pool.submit(next, batches, None)
                yield patches
                begun.check()
    finally:  # where the caller stops asking, the reading ends too
        with suppress(ValueError):  # in a forked child its thread does not exist
            batches.close()


def _embed_in_turn(
    source: Source,
    embedder: Embed,
    settings: Settings,
    description: str,
    digests: bool,
) -> Generator[Patches]:
    batches = read_batches(
        source,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        n_workers=settings.n_workers,
        on_error=settings.on_error,
        region=settings.region,
        alignment=settings.alignment,
    )
    with (
        ProgressBar(description, source.n_items, enabled=settings.progress) as bar,
        lone_threads(settings.n_workers or available_threads()) as pool,
    ):
        inside: Inside | None = None
        for read in batches:
            pixels, positions, names, failures, sizes, shares, places = read
            del read
            embeddings = np.empty((0, 1, 1, 1), np.float32)
            if names and settings.device == "cpu":
                embeddings = _embed_side_by_side(pixels, embedder, pool)
            elif names:
                embeddings = _embed_in_parts(pixels, embedder)
            made = [_digest(image) for image in pixels] if digests else []
            del pixels  # before the next are read
            batch = Patches(
                embeddings, positions, names, sizes, made, failures, None, places
            )
            if shares:
                inside_of = getattr(embedder, "inside", Inside.of)  # where it copies
                for part in only_inside(batch, shares, inside_of, inside):
                    inside = part.inside  # often that of the next batch, too
                    yield part
            else:
                yield batch
            bar.advance(len(names) + len(failures))


class Pass:
    """The usable images of one pass, batch by batch, with a list of all of them.

    Of what ``embed`` gives. ``owner`` is what errors call the method, where one image
    at least must be usable; ``strict`` asks that all are, those that cannot be aligned
    among them.
    """

    def __init__(
        self,
        batches: Generator[Patches],
        owner: str | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._batches, self._owner, self._strict = batches, owner, strict
        self.positions: list[int] = []
        self.names: list[str] = []
        self.digests: list[str] = []
        self.skipped: list[Failure] = []

    def __iter__(self) -> Generator[Patches]:
        # Closed with the loop, not when somebody forgets the error that ended it: a bar
        # would be drawn and threads would wait until then.
        with closing(self._batches) as batches:
            for patches in batches:
                self.positions += patches.positions
                self.names += patches.names
                self.digests += patches.digests
                self.skipped += patches.failures
                if self._strict and self.skipped:
                    raise ImageError(self.skipped[0].reason)
                if patches.names:
                    yield patches
        if self._owner is not None and not self.names:
            raise none_usable(self._owner, len(self.skipped))

    @property
    def n_images(self) -> int:
        """How many images there were, skipped ones included."""
        return len(self.names) + len(self.skipped)


def none_usable(owner: str, n_skipped: int) -> ImageError:
    """Return the error for a source of which no image is usable."""
    return ImageError(
        f"X of {owner} must hold at least one usable normal image; got none "
        f"({n_skipped} skipped)."
    )


def open_normal(
    X: Images, anomalous: BoolArray | None, owner: str, pixel_format: PixelFormat
) -> Source:
    """Open a source; keep what labels, where there are any, say is normal.

    Without labels a folder must not hold folders of defects, as far as names tell.
    """
    source = open_source(X, owner, pixel_format, good_alone=anomalous is None)
    if anomalous is None:
        return source
    n_labels = len(anomalous)
    check_one_each(anomalous, source.n_items, owner)
    if anomalous.all():
        raise ImageError(
            f"X of {owner} must hold at least one usable normal image; got none: y "
            f"labels all {n_labels} anomalous."
        )

    def items() -> Iterator[Item]:
        n_items = 0
        for n_items, item in enumerate(source.items, start=1):
            if n_items > n_labels:
                break
            if not anomalous[n_items - 1]:
                yield item
        if n_items != n_labels:
            rule = "one label for each image of X"
            more = " or more" if n_items > n_labels else ""
            came = f"{n_labels} labels and {n_items} images{more}"
            raise ValueError(refusal("y", owner, rule, came))

    return replace(source, items=Again(items), n_items=int((~anomalous).sum()))


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


def _digest(image: Float32Array) -> str:
    """Return a digest of pixels, the same for a file and an array of one picture.

    64 bits of SHA-256: two of a million different images agree with a chance of 3e-8.
    """
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))  # as they lie in memory
    return hashlib.sha256(pixels.data).hexdigest()[:DIGEST_LENGTH]


def _embed_side_by_side(
    images: Float32Array, embedder: Embed, pool: Executor
) -> Float32Array:
    """Embed each image on one of the pool's threads; return the embeddings of all.

    So no thread waits for another, and results do not depend on how many there are.
    """
    parts = pool.map(partial(_embed_alone, embedder=embedder), images[:, None])
    first = next(parts)
    whole = np.empty((len(images), *first.shape[1:]), np.float32)
    whole[0] = first[0]
    for i, part in enumerate(parts, start=1):
        whole[i] = part[0]
    return whole


@undisturbed()
def _embed_alone(images: Float32Array, embedder: Embed) -> Float32Array:
    return embedder(torch.from_numpy(images)).numpy()


@undisturbed()
def _embed_in_parts(images: Float32Array, embedder: Embed) -> Float32Array:
    """Embed a batch on a GPU; where its memory does not suffice, each half alone."""
    try:
        return np.asarray(embedder(torch.from_numpy(images)).cpu())
    except torch.OutOfMemoryError:
        if len(images) == 1:
            raise
    # Behind the except clause, whose traceback would keep tensors of the attempt alive.
    torch.cuda.empty_cache()
    half = len(images) // 2
    parts = [_embed_in_parts(part, embedder) for part in (images[:half], images[half:])]
    return np.concatenate(parts)


def only_inside(
    batch: Patches,
    shares: list[Float32Array],
    inside_of: Callable[[Float32Array, tuple[int, int]], Inside] = Inside.of,
    inside: Inside | None = None,
) -> Iterator[Patches]:
    """Yield a batch with the patches in its region alone.

    A region of its own for each image makes each a batch of its own. ``inside`` is that
    of the image before, and is taken again where the region is the same.
    """
    n_images = len(batch.names)
    step = n_images if all(share is shares[0] for share in shares) else 1
    for first in range(0, n_images, step):
        images = slice(first, first + step)
        embeddings = batch.embeddings[images]
        if inside is None or inside.share is not shares[first]:
            inside = inside_of(shares[first], batch.grid)
        yield Patches(
            embeddings[:, inside.patches][:, :, None],
            batch.positions[images],
            batch.names[images],
            batch.sizes[images],
            batch.digests[images],
            batch.failures if first + step >= n_images else [],
            inside,
            batch.places[images],
        )


class Points(NamedTuple):
    """The patches of many images: (n_points, n_features), and where each is from.

    ``numbers`` count all patches of all images, in order; None: every one is there.
    ``folder`` is where their file is, if they are in one.
    """

    embeddings: Float32Array
    grid: tuple[int, int]
    numbers: Int64Array | None
    folder: Path | None = None

    def origins(self, indices: Int64Array) -> Int64Array:
        """Return image, row and column of some points, (n, 3) int64."""
        numbers = indices if self.numbers is None else self.numbers[indices]
        image, patch = np.divmod(numbers, self.grid[0] * self.grid[1])
        return np.stack([image, *np.divmod(patch, self.grid[1])], axis=1)


def gather(
    batches: Iterable[Patches],
    n_images: int | None,
    room: Room | None = None,
    journal: Journal | None = None,
) -> Points:
    """Return the patches of all batches, without a second copy of them.

    They are where ``room`` says; a ``journal`` has them already. Raises MemoryError at
    the first batch if there is no room for all.
    """
    numbers: list[Int64Array] = []
    n_seen, grid = 0, (0, 0)
    with Rows(room or Room.of(), n_images) as held:
        for batch in batches:
            n_new, grid = len(batch.embeddings), batch.grid
            if journal is None:
                held.add(batch.embeddings.reshape(-1, batch.embeddings.shape[3]), n_new)
            if batch.inside is not None:
                own = np.flatnonzero(batch.inside.patches)
                first = np.arange(n_seen, n_seen + n_new)[:, None]
                numbers.append((first * (grid[0] * grid[1]) + own).ravel())
            n_seen += n_new
        whole, folder = held.whole() if journal is None else journal.whole()
    found = np.concatenate(numbers) if numbers else None
    return Points(whole, grid, found, folder)
