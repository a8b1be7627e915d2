"""What runs on Dask's workers, and how it gets there.

Whatever a task needs travels in the task itself, so that Dask can run it again
elsewhere when a worker dies. A shard is the result of a task, held by Dask in the
memory of a worker; the steps of a selection change it in place. So one that Dask had to
make again lacks the picks since, and says so (``neighbors._shards.candidates_after``).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from adlib._threads import at_most
from adlib._typing import Float32Array, Int64Array
from adlib._validation import describe, refusal
from adlib.estimators import PatchCore
from adlib.estimators._augment import copies_of, own_patches
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._patches import Pass, Patches, Points, embed, gather
from adlib.estimators._results import Scored
from adlib.estimators._settings import Settings
from adlib.exceptions import ImageError
from adlib.features import Backbone
from adlib.images import Failure, Source
from adlib.images._sources import Item
from adlib.neighbors._coreset import OWNER as CORESET
from adlib.neighbors._points import as_points
from adlib.neighbors._shards import METHODS, Shard, new_shard

if TYPE_CHECKING:
    from distributed import Client, Future

PIECE = 2**22  # bytes that a task carries: Dask warns of more than twice as many
CHUNK = 64  # images of a task that scores, at most
CHUNKS = 4  # for each worker, so that one that is slow has fewer


class Recipe(NamedTuple):
    """What turns images into patches."""

    detector: AnomalyDetector  # not fitted, or fitted to score with it
    backbone: Backbone
    settings: Settings


class Summary(NamedTuple):
    """What the client knows of a part of the images."""

    names: list[str]
    positions: list[int]
    digests: list[str]
    skipped: list[Failure]
    fingerprints: list[str]  # of each image's patches
    grid: tuple[int, int]
    n_points: int
    n_features: int
    n_patches: int  # copies not counted

    @classmethod
    def of(
        cls, images: Pass, points: Points, n_patches: int, fingerprints: list[str]
    ) -> Summary:
        """Summarise a part of the images, all of which were read."""
        n_points, n_features = points.embeddings.shape
        return cls(
            images.names,
            images.positions,
            images.digests,
            images.skipped,
            fingerprints,
            points.grid,
            n_points,
            n_features,
            n_patches,
        )


@dataclass
class Part:
    """A part of the images on a worker: their patches, and the shard of these."""

    points: Points
    summary: Summary
    shard: Shard | None = None


class Step(NamedTuple):
    """What every step of a selection tells a part."""

    size: int  # of the selection
    device: str
    n_workers: int | None
    fingerprint: str  # of what the part was when the selection began


def check_model(model: object, kinds: tuple[type, ...], rule: str, owner: str) -> None:
    """Raise unless a model is of one of these kinds."""
    if not isinstance(model, kinds):
        raise TypeError(refusal("model", owner, rule, describe(model)))


def check_client(client: object, owner: str) -> Client:
    """Return a client of Dask, or raise."""
    try:
        kind: type[Client] = import_module("distributed").Client
    except ImportError as error:
        raise ImportError(
            f"{owner} needs Dask: pip install 'adlib-vision[dask]'."
        ) from error
    if not isinstance(client, kind) or client.asynchronous:
        rule = "a dask.distributed.Client (not an asynchronous one)"
        raise TypeError(refusal("client", owner, rule, describe(client)))
    return client


def shipped(client: Client, value: Any) -> Future[Any]:
    """Return a future of a value that Dask can make again, however large it is."""
    pickle = import_module("distributed.protocol.pickle")
    content: bytes = pickle.dumps(value)
    pieces = [
        client.submit(bytes, content[first : first + PIECE], pure=False)
        for first in range(0, len(content), PIECE)
    ]
    return client.submit(_joined, pieces, pure=False)


def _joined(pieces: list[bytes]) -> Any:
    return import_module("distributed.protocol.pickle").loads(b"".join(pieces))


def divided(items: Sequence[Item], n_parts: int) -> list[list[Item]]:
    """Return items in parts of nearly the same length, in order, none empty."""
    edges = np.linspace(0, len(items), min(n_parts, len(items)) + 1).astype(np.int64)
    return [list(items[a:b]) for a, b in pairwise(edges.tolist())]


def in_chunks(items: Sequence[Item], n_workers: int) -> list[list[Item]]:
    """Return items in parts for tasks that any worker may take."""
    size = max(1, min(CHUNK, len(items) // (CHUNKS * n_workers)))
    return divided(items, -(-len(items) // size))


def in_order(
    client: Client, work: Callable[..., Any], value: Future[Any], tasks: Sequence[Any]
) -> Generator[Any]:
    """Yield ``work(value, task)`` for each task, in order, a few ahead."""
    ahead = 2 * sum(client.nthreads().values()) + 2
    waiting: deque[Future[Any]] = deque()
    for task in tasks:
        waiting.append(client.submit(work, value, shipped(client, task), pure=False))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read(recipe: Recipe, items: list[Item], owner: str) -> Generator[Patches]:
    detector, backbone, settings = recipe
    source = Source.of(items, settings.pixel_format, owner)
    embedder = detector._new_embedder(backbone, settings)
    return embed(source, embedder, settings, "", digests=True)


def read_patches(recipe: Recipe, items: list[Item]) -> list[Patches]:
    """Return the patches of some images, in batches."""
    return list(_read(recipe, items, f"{type(recipe.detector).__name__}.fit"))


def read_part(recipe: Recipe, items: list[Item]) -> Part:
    """Return the patches of a part of the images, to be held by a worker."""
    detector, _, settings = recipe
    owner = f"{type(detector).__name__}.fit"
    strict = settings.on_error == "raise"
    images = Pass(_read(recipe, items, owner), strict=strict)
    fingerprints: list[str] = []

    def noted() -> Iterator[Patches]:
        for batch in images:
            for image in batch.embeddings:
                content = np.ascontiguousarray(image).data
                fingerprints.append(hashlib.sha256(content).hexdigest())
            yield batch

    with at_most(settings.n_workers):
        room = detector._room(settings) if isinstance(detector, PatchCore) else None
        gathered = gather(noted(), len(items), room)
        copies = copies_of(getattr(detector, "augment", None), settings.image_size)
        points, n_patches = own_patches(gathered, copies)
        if len(points.embeddings):
            as_points(points.embeddings, "X", CORESET)  # or raise
    return Part(points, Summary.of(images, points, n_patches, fingerprints))


def summary_of(part: Part) -> Summary:
    """Return what the client knows of a part."""
    return part.summary


def fingerprint(parts: Sequence[Summary]) -> str:
    """Return a hash of all patches, in however many parts they are."""
    found = hashlib.sha256()
    for part in parts:
        for one in part.fingerprints:
            found.update(one.encode())
    return found.hexdigest()


def answer(part: Part, step: Step, method: str, request: Any) -> Any:
    """Answer a coordinator, or say where some points come from ("origins")."""
    if fingerprint([part.summary]) != step.fingerprint:
        names = part.summary.names
        raise ImageError(
            f"{len(names)} images from {names[0] if names else '?'} on were read again "
            "after a worker died, and gave other patches. They must not change while "
            "fit runs, and all workers must be alike."
        )
    if method == "origins":
        origins: Int64Array = part.points.origins(request)
        return origins
    with at_most(step.n_workers):
        if part.shard is None:
            points = part.points
            part.shard = new_shard(
                points.embeddings, step.size, step.device, points.folder
            )
        return METHODS[method](part.shard, request)


def score_left_out(
    recipe: Recipe, task: tuple[list[Item], int]
) -> list[tuple[Patches, Scored | None]]:
    """Score training images, the first of a number, each without itself."""
    detector, _, settings = recipe
    items, first = task
    owner = f"{type(detector).__name__}.fit"
    source = Source.of(items, settings.pixel_format, owner)
    embedder = detector._embedder()
    found: list[tuple[Patches, Scored | None]] = []
    for patches in embed(source, embedder, settings, "", digests=True):
        scored = None
        if patches.names:
            numbers = np.arange(first, first + len(patches.names))
            scored = detector._scored(patches, numbers)
            first += len(patches.names)
        empty = np.empty((len(patches.names), 0, 0, 0), np.float32)
        found.append((patches._replace(embeddings=empty), scored))
    return found


def score_items(
    detector: AnomalyDetector, items: list[Item]
) -> tuple[Float32Array, list[Failure]]:
    """Return scores of some images, and what was skipped."""
    first = items[0].position
    local = [item._replace(position=item.position - first) for item in items]
    pixel_format = detector._check_parameters().pixel_format
    owner = f"{type(detector).__name__}.score"
    scores, skipped = detector._scores(Source.of(local, pixel_format, owner))
    found = [one._replace(position=one.position + first) for one in skipped]
    return scores, found
