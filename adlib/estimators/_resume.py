"""Patches kept in a folder while they are read, so that a killed fit goes on."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from adlib._progress import note
from adlib._typing import AnyArray, Float32Array
from adlib._validation import refusal
from adlib.estimators._patches import Patches
from adlib.estimators._results import Inside
from adlib.estimators._room import Room, RowFile
from adlib.images import Failure, Source
from adlib.images._sources import Again, Item

ROWS, RECORDS, LOCK = "patches.rows", "patches.jsonl", "patches.lock"


class Journal:
    """What was read of the images so far, in a folder: the patches, and their records.

    One record a batch, a line of JSON, is written after the batch's rows and holds
    their checksum: what a killed process or machine left unfinished counts for nothing.
    The identity is what patches depend on, but for the images; those are compared one
    by one. Only one process at a time uses a folder.
    """

    def __init__(
        self,
        room: Room,
        identity: dict[str, Any],
        n_images: int | None,
        batch_size: int,
    ) -> None:
        self._room, self._identity = room, identity
        self._n_images, self._batch_size = n_images, batch_size
        self._seen: dict[int, str] = {}  # what identifies an image, by its position
        self._stored: list[dict[str, Any]] = []  # records of an earlier fit

    def __enter__(self) -> Self:
        folder = self._room.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            rule = "a folder that no other running fit uses"
            text = refusal("cache", "PatchCore", rule, str(folder))
            raise ValueError(text) from None
        for name in (ROWS, RECORDS):
            (folder / name).touch()
        self._rows = RowFile(folder, folder / ROWS)
        self._records = (folder / RECORDS).open("r+b")
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._rows.file.close()
        self._records.close()
        if kind is None:
            self.forget()
        self._lock.release()

    def forget(self) -> None:
        """Delete the files; what is mapped of them stays as long as it is used."""
        for name in (RECORDS, ROWS):
            (self._room.folder / name).unlink(missing_ok=True)

    def rest(self, source: Source) -> Source:
        """Return the images that have to be read; call it once, before ``keep``.

        The last batch there is is read again, so that what is known from an image
        alone, as the mask that polygons draw, is known.
        """
        found = self._read()
        items, pending = iter(source.items), dict[int, Item]()
        kept: list[dict[str, Any]] = []
        recent: deque[dict[int, Item]] = deque(maxlen=2 * self._batch_size)
        for record in found:
            wanted = dict(record["keys"])
            if not _follow(wanted, items, pending):
                break
            kept.append(record)
            recent.append({at: pending.pop(at) for at in wanted})
        # A batch may have several records, and the last names the images that were
        # skipped: what comes behind one that none names is read again.
        while recent:
            kept.pop()
            pending = recent.pop() | pending
            if not kept or min(pending) > _last(kept):
                break
        self._go_on(kept)
        n_kept = sum(len(record["keys"]) for record in kept)
        first = [pending[at] for at in sorted(pending)]
        if n_kept:
            line = f"{self._room.folder} holds the patches of {n_kept} images: goes on."
            note(line, enabled=self._room.progress)
        elif found:
            line = f"{self._room.folder} holds patches of other images: starts again."
            note(line, enabled=self._room.progress)

        def left() -> Iterator[Item]:
            for item in chain(first, items):
                self._seen[item.position] = _key(item)
                yield item

        n_left = None if source.n_items is None else source.n_items - n_kept
        return replace(source, items=Again(left), n_items=n_left)

    def keep(self, batches: Generator[Patches]) -> Generator[Patches]:
        """Yield the batches that are there, then the others, each once it is stored."""
        first = 0
        whole = (
            self._rows.whole() if self._rows.n_rows else np.empty((0, 0), np.float32)
        )
        for record in self._stored:
            n_rows = int(np.prod(record["shape"][:3]))
            yield _batch(record, whole[first : first + n_rows])
            first += n_rows
        n_seen = sum(len(record["keys"]) for record in self._stored)
        checked = False
        with closing(batches):
            for batch in batches:
                rows = batch.embeddings.reshape(-1, batch.embeddings.shape[3])
                n_here, n_seen = len(batch.names), n_seen + len(batch.names)
                if n_here and not checked:
                    n_images = max(self._n_images or n_seen, n_seen)
                    n_points = n_images * (len(rows) // n_here)
                    n_held = self._rows.n_rows
                    self._room.check(n_images, n_points, rows.shape[1], n_held)
                    checked = True
                self._write(batch, rows)
                yield batch

    def whole(self) -> tuple[Float32Array, Path]:
        """Return all rows, and the folder of their file."""
        return self._rows.whole(), self._room.folder

    def _write(self, batch: Patches, rows: Float32Array) -> None:
        if batch.names:
            self._rows.add(rows)
            self._rows.file.flush()  # to the system, which a killed process leaves it
        places = [failure.position for failure in batch.failures]
        record = {
            "keys": [[at, self._seen[at]] for at in sorted(batch.positions + places)],
            "shape": batch.embeddings.shape,
            "crc": zlib.crc32(np.ascontiguousarray(rows).data),
            "positions": batch.positions,
            "names": batch.names,
            "sizes": batch.sizes,
            "digests": batch.digests,
            "failures": batch.failures,
            "inside": None,
        }
        if batch.inside is not None:
            patches = batch.inside.patches
            record["inside"] = [*patches.shape, np.packbits(patches).tobytes().hex()]
        self._records.write(json.dumps(record).encode() + b"\n")
        self._records.flush()

    def _read(self) -> list[dict[str, Any]]:
        """Return the records of batches that are whole, if they are of such patches."""
        records: list[dict[str, Any]] = []
        line = self._records.readline()
        if not line:
            return records
        if line != self._first_line():
            text = f"{self._room.folder} holds patches of other parameters or another "
            note(f"{text}version: starts again.", enabled=self._room.progress)
            return records
        for line in self._records:
            try:
                record = json.loads(line)
                n_bytes = 4 * int(np.prod(record["shape"])) if record["names"] else 0
                rows = self._rows.file.read(n_bytes)
                whole = len(rows) == n_bytes and zlib.crc32(rows) == record["crc"]
            except (ValueError, KeyError, TypeError):  # half of a line
                break
            if not whole:
                break
            records.append(record | {"end": len(line)})
        return records

    def _first_line(self) -> bytes:
        return json.dumps({"patches of": self._identity}).encode() + b"\n"

    def _go_on(self, kept: list[dict[str, Any]]) -> None:
        """Let the files hold these records and their rows alone."""
        self._stored = kept
        line = self._first_line()
        n_bytes = len(line) + sum(record["end"] for record in kept)
        shapes = [record["shape"] for record in kept if record["names"]]
        n_rows = sum(int(np.prod(shape[:3])) for shape in shapes)
        self._rows.cut(n_rows, shapes[0][3] if shapes else 0)
        self._records.seek(0)
        self._records.write(line)
        self._records.truncate(n_bytes)
        self._records.seek(0, os.SEEK_END)
        self._records.flush()


def digest_of(pixels: AnyArray | None) -> str | None:
    """Return what tells an array from others."""
    if pixels is None:
        return None
    found = hashlib.blake2b(f"{pixels.dtype} {pixels.shape}".encode(), digest_size=16)
    found.update(np.ascontiguousarray(pixels).data)
    return found.hexdigest()


def _follow(
    wanted: dict[int, str], items: Iterator[Item], pending: dict[int, Item]
) -> bool:
    """Take items until all ``wanted`` are there; return whether they are the same."""
    while not wanted.keys() <= pending.keys():
        item = next(items, None)
        if item is None:
            return False
        pending[item.position] = item
        if item.position > max(wanted):
            return False
    return all(_key(pending[at]) == key for at, key in wanted.items())


def _last(records: list[dict[str, Any]]) -> int:
    return max((at for at, _ in records[-1]["keys"]), default=-1) if records else -1


def _batch(record: dict[str, Any], rows: Float32Array) -> Patches:
    """Return a batch as it was, but for how images lay, which fit does not ask."""
    inside = None
    if record["inside"] is not None:
        height, width, packed = record["inside"]
        bits = np.frombuffer(bytes.fromhex(packed), np.uint8)
        patches = np.unpackbits(bits, count=height * width).astype(np.bool_)
        share = np.empty((0, 0), np.float32)
        inside = Inside(patches.reshape(height, width), share)
    return Patches(
        rows.reshape(record["shape"]),
        record["positions"],
        record["names"],
        [(height, width) for height, width in record["sizes"]],
        record["digests"],
        [Failure(*failure) for failure in record["failures"]],
        inside,
    )


def _key(item: Item) -> str:
    """Return what identifies an image: a file's name, size and time, else pixels."""
    found = hashlib.blake2b(item.name.encode(errors="surrogatepass"), digest_size=16)
    image = item.image
    if isinstance(image, Path):
        try:
            state = image.stat()
        except OSError as error:  # it will be refused or skipped
            return f"{type(error).__name__}"
        found.update(f"{state.st_size} {state.st_mtime_ns}".encode())
    elif isinstance(image, Exception):
        found.update(str(image).encode())
    else:
        pixels = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
        found.update(f"{item.is_rgb} {digest_of(pixels)}".encode())
    return found.hexdigest()
