"""How long a fit takes, and how much memory and disk, from its first images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from adlib._progress import duration
from adlib._validation import check_int, coreset_size, refusal
from adlib.estimators._augment import copies_of, own_patches
from adlib.estimators._contamination import MOST_COMPARED, vouched
from adlib.estimators._patches import Pass, Patches, embed, gather, open_normal
from adlib.images import Images

if TYPE_CHECKING:
    from adlib.estimators._patchcore import PatchCore

MOST_IMAGES = 48  # that are read
N_BATCHES = 3  # of which the first is not timed: kernels are made then
FEW = 2_048  # patches that a coreset is tried on first, and that are searched
# After so many picks the products of all points with them take as long as all else: of
# magnetic tiles 12,544 to 313,600 patches take (1.0e-5 + 1.1e-9 picks) s each at 5 %.
PICKS = 9_000
SEARCH_POWER = 0.54  # of the bank's size in the time of a search: docs/peers.md


class FitEstimate(NamedTuple):
    """What a fit takes, about, and what of it there is.

    Attributes:
        n_images: How many images.
        seconds: Time.
        memory: Bytes of memory, beside the network and a batch of images.
        disk: Bytes of disk; 0 where memory has room for everything.
        free_memory: Bytes of memory that are free, limits of containers included.
        free_disk: Bytes that are free on the disk that ``fit`` would use.
        advice: What to set where it does not fit; "" where it does.
    """

    n_images: int
    seconds: float
    memory: int
    disk: int
    free_memory: int
    free_disk: int
    advice: str

    def __str__(self) -> str:
        """Return all of it in words."""
        text = f"To fit {self.n_images:,} images takes about {duration(self.seconds)} "
        text += f"and {_gigabytes(self.memory)} of memory, of which "
        text += f"{_gigabytes(self.free_memory)} are free"
        if self.disk:
            text += f", and {_gigabytes(self.disk)} of disk, of which "
            text += f"{_gigabytes(self.free_disk)} are free"
        return f"{text}." if not self.advice else f"{text}. {self.advice}"


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.3g} GB"


def estimate(detector: PatchCore, X: Images, n_images: int | None) -> FitEstimate:
    """Estimate what ``detector.fit`` takes; see ``PatchCore.estimate``."""
    settings = detector._check_parameters()
    owner = f"{type(detector).__name__}.estimate"
    source = open_normal(X, None, owner, settings.pixel_format)
    n_images = _count(source.n_items if n_images is None else n_images, owner)
    settings = settings._replace(
        batch_size=min(settings.batch_size, MOST_IMAGES // N_BATCHES),
        region=detector._new_region(),
        alignment=detector._new_alignment(),
        progress=False,
    )
    n_there = n_images if source.n_items is None else source.n_items
    n_read = min(n_images, n_there, N_BATCHES * settings.batch_size)
    settings = settings._replace(batch_size=-(-n_read // N_BATCHES))
    some = replace(source, items=list(islice(source.items, n_read)), n_items=n_read)
    embedder = detector._new_embedder(detector._new_backbone(settings), settings)
    reading = embed(some, embedder, settings, "", digests=True)
    images = Pass(reading, owner, strict=settings.on_error == "raise")
    clock = _Clock()
    with closing(iter(images)) as batches:
        gathered = gather(clock.between(batches), n_read)
    copies = copies_of(detector.augment, settings.image_size)
    points, n_patches = own_patches(gathered, copies)
    more = n_images / len(images.names)  # times what was read
    n_points = round(more * len(points.embeddings))
    n_kept = coreset_size(detector.coreset, round(more * n_patches))
    seconds = n_images * clock.an_image
    if detector.contamination is not None:
        n_before = len(points.embeddings)
        with clock:
            points = vouched(points, detector.contamination, None, settings, owner)
        compared = min(n_points, MOST_COMPARED) / min(n_before, MOST_COMPARED)
        seconds += more * compared**SEARCH_POWER * clock.seconds
    rows = points.embeddings
    size = max(1, min(round(n_kept / more), len(rows)))
    few = points._replace(embeddings=rows[:FEW])
    detector._select(few, min(size, len(few.embeddings)), settings)  # compiles it
    with clock:
        kept, _ = detector._select(points, size, settings)
    seconds += more * (1 + n_kept / PICKS) / (1 + size / PICKS) * clock.seconds
    with clock:
        bank = detector._make_bank(rows[kept], points.origins(kept), settings.device)
    seconds += n_kept / size * clock.seconds
    with clock:
        bank.kneighbors(rows[:FEW])
    search = (n_kept / size) ** SEARCH_POWER * clock.seconds / len(rows[:FEW])
    again = n_images * clock.an_image / (1 + len(copies)) + more * n_patches * search
    # Each reads all images once more, and scores them.
    passes = detector.false_positive_rate, detector.zones
    seconds += again * sum(one is not None for one in passes)
    room = detector._room(settings)
    needs = room.needs(n_points, rows.shape[1])
    return FitEstimate(
        n_images,
        seconds,
        needs.beside if needs.in_a_file else needs.in_memory,
        needs.disk if needs.in_a_file else 0,
        needs.free_memory,
        needs.free_disk,
        "" if needs.fits else room.advice(needs, n_images),
    )


def _count(n_images: int | None, owner: str) -> int:
    """Return for how many images to estimate, or raise."""
    if n_images is None:
        rule = "given where X does not say how many images it has"
        raise ValueError(refusal("n_images", owner, rule, "None"))
    return check_int(n_images, "n_images", owner, low=1)


class _Clock:
    """Takes the time of a block, and that between batches."""

    seconds = an_image = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._begun

    def between(self, batches: Iterator[Patches]) -> Iterator[Patches]:
        """Yield the batches; ``an_image`` is the time of one after the first batch."""
        begun, n_images, first = time.perf_counter(), 0, True
        for batch in batches:
            n_images += len(batch.names)
            self.an_image = (time.perf_counter() - begun) / n_images
            yield batch
            if first:
                begun, n_images, first = time.perf_counter(), 0, False
