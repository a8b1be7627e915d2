"""From images to patch embeddings, batch by batch, and all of them in one array."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from adlib._progress import ProgressBar
from adlib._threads import Process, Threads
from adlib._torch import undisturbed
from adlib._typing import Float32Array, Int64Array
from adlib.estimators._settings import Settings
from adlib.images import Batch, Source, read_batches

# From images, (n, 3, height, width), to (n, grid_height, grid_width, n_features).
Embed: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

DIGEST_LENGTH = 16  # hexadecimal digits
NO_PIXELS = np.empty((0, 3, 0, 0), np.float32)
# Images a batch up to which the next batch is embedded while the last is searched: 1.4
# times as many images a second with 1 or 2, none more with 16, which fill every core.
SMALL_BATCH = 4


class Patches(NamedTuple):
    """Patch embeddings of one batch, (n, grid_height, grid_width, n_features).

    The batch no longer holds its pixels; digests, where they were asked for, tell
    whether another image has the same.
    """

    batch: Batch
    embeddings: Float32Array
    digests: list[str]


def embed(
    source: Source,
    embedder: Embed,
    settings: Settings,
    description: str,
    *,
    digests: bool = False,
) -> Generator[Patches]:
    """Yield the patch embeddings of a source's images in order, showing progress.

    A batch that holds nothing but failures yields an empty array. Digests cost a few
    percent of the embedding, so they are made only on demand.
    """
    batches = read_batches(
        source,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        n_workers=settings.n_workers,
        on_error=settings.on_error,
    )
    with ProgressBar(description, source.n_items, enabled=settings.progress) as bar:
        for read in batches:
            embeddings = np.empty((0, 1, 1, 1), np.float32)
            if read.names:
                embeddings = _embed_batch(read.images, embedder, settings.device)
            pixels = read.images if digests else NO_PIXELS
            made = [_digest(image) for image in pixels]
            batch = read._replace(images=NO_PIXELS)
            del read, pixels  # before the next are read
            yield Patches(batch, embeddings, made)
            bar.advance(len(batch.names) + len(batch.failures))


def embed_ahead(
    source: Source,
    embedder: Embed,
    settings: Settings,
    description: str,
) -> Iterator[Patches]:
    """Yield what ``embed`` does; small batches one ahead of what is asked for.

    Streams are read in the caller's thread, and no sooner than they are asked for: the
    next part may be minutes away, and a camera may belong to its thread.
    """
    batches = embed(source, embedder, settings, description)
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
    finally:  # whoever stops asking ends the reading too
        with suppress(ValueError):  # in a forked child it stands still for ever
            batches.close()


def _digest(image: Float32Array) -> str:
    """Return a digest of an image's pixels, (3, height, width) as they are embedded.

    It is the same for a file, an array and a tensor of one picture. 64 bits of SHA-256,
    the quickest here where the processor has instructions for it: two of a million
    different images agree with a chance of 3e-8.
    """
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))  # as they lie in memory
    return hashlib.sha256(pixels.data).hexdigest()[:DIGEST_LENGTH]


@undisturbed()
def _embed_batch(images: Float32Array, embedder: Embed, device: str) -> Float32Array:
    """Return patch embeddings of images, (n, 3, height, width)."""
    if device != "cpu":
        return _embed_in_parts(images, embedder)
    # One at a time: what lies between image and embeddings is several times their size.
    whole: Float32Array | None = None
    for i in range(len(images)):
        one = embedder(torch.from_numpy(images[i : i + 1])).numpy()
        if whole is None:
            whole = np.empty((len(images), *one.shape[1:]), np.float32)
        whole[i] = one[0]
    assert whole is not None  # there is at least one image
    return whole


def _embed_in_parts(images: Float32Array, embedder: Embed) -> Float32Array:
    """Embed a batch on a GPU; where its memory does not suffice, each half alone.

    Raises:
        torch.OutOfMemoryError: There is no room for one image.
    """
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


class PatchStore:
    """All patch embeddings of a set of images in one array, without a second copy.

    Where the number of images is known the array is made at once; memory that is never
    filled is never touched. Otherwise batches wait in a list, and each is freed as soon
    as it has been copied.
    """

    def __init__(self, n_images: int | None) -> None:
        self._n_images = n_images
        self._whole: Float32Array | None = None
        self._parts: list[Float32Array] = []
        self.n_stored = 0

    def append(self, embeddings: Float32Array) -> None:
        """Add the embeddings of a batch, (n, grid_height, grid_width, n_features)."""
        first, last = self.n_stored, self.n_stored + len(embeddings)
        self.n_stored = last
        if self._n_images is None:
            self._parts.append(embeddings)
            return
        if self._whole is None:
            shape = (self._n_images, *embeddings.shape[1:])
            self._whole = np.empty(shape, np.float32)
        self._whole[first:last] = embeddings

    def take(self) -> Float32Array:
        """Hand over everything, (n_images, grid_height, grid_width, n_features)."""
        if self._whole is None:
            shape = (self.n_stored, *self._parts[0].shape[1:])
            self._whole = np.empty(shape, np.float32)
            first = 0
            self._parts.reverse()
            while self._parts:
                part = self._parts.pop()
                self._whole[first : first + len(part)] = part
                first += len(part)
        whole, self._whole = self._whole, None
        return whole[: self.n_stored]


def origins_of(indices: Int64Array, grid: tuple[int, int]) -> Int64Array:
    """Return image, row and column of flat patch indices, (n, 3) int64."""
    image, patch = np.divmod(indices, grid[0] * grid[1])
    return np.stack([image, *np.divmod(patch, grid[1])], axis=1)
