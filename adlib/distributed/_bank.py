"""A memory bank in files, searched by Dask's workers as by one machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib._validation import check_int, describe, refusal
from adlib.distributed._workers import check_client, shipped
from adlib.neighbors import MemoryBank, Neighbours
from adlib.neighbors._bank import as_left_out
from adlib.neighbors._points import as_points

if TYPE_CHECKING:
    from distributed import Client, Future

OWNER = "ShardedBank"
QUERIES_AT_ONCE = 2**14
OPENED: Literal["r", "c"] = "r"  # how NumPy maps the files
File: TypeAlias = str | os.PathLike[str]
Nearest: TypeAlias = tuple[Float64Array, Int64Array]  # squared distances, indices


class ShardedBank:
    """Patch embeddings in files, each of which a worker of a Dask cluster searches.

    Args:
        files: ``.npy`` files of patch embeddings, (n_entries, n_features) each, that
            all workers find. Those of float32 are not read into memory (see
            ``MemoryBank``).
        client: A client of the cluster.
        origins: A file for each of ``files``, of where its entries came from,
            (n_entries, 3) integers: image number, row and column of the patch grid.
            None: unknown.
        device: Where workers search: "cpu", "cuda", "cuda:N", or "auto".

    Raises:
        FileNotFoundError: A worker does not find a file.
        TypeError, ValueError: An argument or the content of a file is not as stated.
        ImportError: The extra ``dask`` is not installed.

    Note:
        When a worker dies, another opens its files again.
    """

    def __init__(
        self,
        files: Sequence[File],
        client: Client,
        *,
        origins: Sequence[File] | None = None,
        device: str = "auto",
    ) -> None:
        self._client = check_client(client, OWNER)
        files = _as_files(files, "files")
        none: list[str | None] = [None] * len(files)
        known = none if origins is None else [*_as_files(origins, "origins")]
        if len(known) != len(files):
            rule = f"{len(files)} files, one for each of files"
            raise ValueError(refusal("origins", OWNER, rule, f"{len(known)} files"))
        self._knows_origins = origins is not None
        workers = list(client.nthreads())
        self._places = [workers[i % len(workers)] for i in range(len(files))]
        self._shards: list[Sequence[Any]] = [
            (file, one, device) for file, one in zip(files, known, strict=True)
        ]
        self._shards = [[shard] for shard in self._on_shards(Shard)]
        shapes = [one.result() for one in self._on_shards(shape_of)]
        self._n_features = shapes[0][1]
        for file, (_, n_features) in zip(files, shapes, strict=True):
            if n_features != self._n_features:
                rule = f"of {self._n_features} features, as {files[0]!r} is"
                came = f"{file!r} of {n_features}"
                raise ValueError(refusal("files", OWNER, rule, came))
        self._firsts = np.cumsum([0, *(n for n, _ in shapes)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def kneighbors(
        self,
        queries: ArrayLike,
        n_neighbors: int = 1,
        *,
        left_out: ArrayLike | None = None,
    ) -> Neighbours:
        """Find the entries nearest to each query, as ``MemoryBank.kneighbors`` does.

        Args:
            queries: (n_queries, n_features), real numbers, cast to float32.
            n_neighbors: How many to find, in [1, n_bank].
            left_out: An image number for each query, (n_queries,) integers: entries
                that came from that image do not count. Needs ``origins``.

        Returns:
            Distances and indices, (n_queries, n_neighbors) each, with the bits of one
            ``MemoryBank`` of all files, one after the other. Indices count through all
            of them.

        Raises:
            TypeError: ``queries`` or ``left_out`` holds other things than numbers.
            ValueError: A shape does not fit, or fewer than ``n_neighbors`` entries
                remain.

        Note:
            Queries go to each worker, and 16 * n_neighbors bytes a query come from each
            shard. Memory beyond the result: that of 16,384 queries and of what a few
            shards found for them.
        """
        owner = f"{OWNER}.kneighbors"
        points = as_points(queries, "queries", owner)
        if points.shape[1] != self._n_features:
            rule = f"(n_queries, {self._n_features}) like the bank"
            raise ValueError(refusal("queries", owner, rule, describe(points)))
        skipped = as_left_out(left_out, len(points), self._knows_origins, owner)
        n_bank = len(self)
        n_neighbors = check_int(n_neighbors, "n_neighbors", owner, low=1, high=n_bank)
        shape = (len(points), n_neighbors)
        squared, indices = np.full(shape, np.inf), np.full(shape, -1, np.int64)
        for first in range(0, len(points), QUERIES_AT_ONCE):
            part = slice(first, first + QUERIES_AT_ONCE)
            some = None if skipped is None else skipped[part]
            request = shipped(self._client, (points[part], n_neighbors, some))
            for number, answer in enumerate(self._on_shards(search, request)):
                near, places = answer.result()
                places = np.where(places < 0, places, places + self._firsts[number])
                best = squared[part], indices[part]
                squared[part], indices[part] = merged([best, (near, places)])
        if indices.min() < 0:
            n_left = int((indices >= 0).sum(axis=1).min())
            rule = f"at most {n_left}, the entries that remain where most are left out"
            raise ValueError(refusal("n_neighbors", owner, rule, str(n_neighbors)))
        return Neighbours(np.sqrt(squared).astype(np.float32), indices)

    def _on_shards(self, work: Callable[..., Any], *given: Any) -> list[Future[Any]]:
        """Return futures of ``work(shard, *given)`` for each shard, where it is."""
        # Its worker, or, where that has died, any. Others may not take the task over:
        # the shard would be opened there again.
        return [
            self._client.submit(
                work, *of, *given, workers=[at], allow_other_workers=True, pure=False
            )
            for of, at in zip(self._shards, self._places, strict=True)
        ]


class Shard:
    """The bank of one file, on a worker. It travels as the names of its files."""

    def __init__(self, file: str, origins: str | None, device: str) -> None:
        self._given = file, origins, device
        rows = _opened(file, "files")
        known = None if origins is None else _opened(origins, "origins")
        try:
            self.bank = MemoryBank(rows, origins=known, device=device)
        except (TypeError, ValueError) as error:  # which do not say of which file
            raise type(error)(f"{file!r} cannot be searched: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, self._given


def shape_of(shard: Shard) -> tuple[int, int]:
    """Return how many entries and features a shard has."""
    n_entries, n_features = shard.bank.embeddings.shape
    return n_entries, n_features


def search(
    shard: Shard, request: tuple[Float32Array, int, Int64Array | None]
) -> Nearest:
    """Return a shard's nearest entries; inf and -1 where it has too few."""
    return shard.bank._nearest(*request)


def merged(parts: Sequence[Nearest]) -> Nearest:
    """Return the nearest of all parts, (n_queries, n_neighbors) each; ties by index.

    Missing ones, inf and -1, come last.
    """
    squared = np.concatenate([near for near, _ in parts], axis=1)
    indices = np.concatenate([places for _, places in parts], axis=1)
    order = np.lexsort((indices, squared))[:, : parts[0][0].shape[1]]
    near = np.take_along_axis(squared, order, axis=1)
    return near, np.take_along_axis(indices, order, axis=1)


def _opened(file: str, parameter: str) -> AnyArray:
    """Return the array of a file, which is not read into memory, or raise."""
    try:
        array: AnyArray = np.load(file, mmap_mode=OPENED)
    except (EOFError, ValueError):  # NumPy's own words advise to unpickle it
        rule, came = "a list of .npy files of numbers", f"{file!r}, which is none"
        raise ValueError(refusal(parameter, OWNER, rule, came)) from None
    return array


def _as_files(files: Sequence[File], parameter: str) -> list[str]:
    """Return the names of files, or raise."""
    rule = "a list of paths, at least one"
    single = isinstance(files, str | os.PathLike) or not isinstance(files, Sequence)
    if single or not all(isinstance(one, str | os.PathLike) for one in files):
        raise TypeError(refusal(parameter, OWNER, rule, describe(files)))
    if not files:
        raise ValueError(refusal(parameter, OWNER, rule, "none"))
    return [str(Path(one).absolute()) for one in files]
