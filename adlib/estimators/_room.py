"""What a fit takes of memory and disk, and where its patches are held."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from adlib._memory import available_memory, free_addresses
from adlib._progress import duration, note
from adlib._scratch import (
    default_folder,
    free_disk,
    mapped,
    no_room_named,
    scratch_file,
)
from adlib._typing import Float32Array
from adlib._validation import coreset_size

PEAK = 1.5  # times the patches: what a coreset takes with them, at the defaults
# What memory must have room for in any case: bytes a patch, of those that are passed
# over at once, and copies of the bank while it is made.
PATCH_BYTES, BANK_COPIES = 24, 3.5
SAMPLE = 4 * 8_192  # and of so many, where there are more, for their directions
MORE_BYTES = 40  # a patch, where each has a number of its own
FLUSHED = 2**26  # bytes that may wait to be written: they count as memory


class Needs(NamedTuple):
    """What a fit takes, in bytes, and of what there is."""

    in_memory: int  # where all patches are held there
    beside: int  # memory, where the patches are in a file
    disk: int  # then
    free_memory: int
    free_disk: int  # and may be mapped (ulimit -v)
    in_a_file: bool  # since memory has no room for the patches, or a file was asked for

    @property
    def fits(self) -> bool:
        """Whether there is room for the patches where they are to be."""
        on_disk = self.beside <= self.free_memory and self.disk <= self.free_disk
        return not self.in_a_file or on_disk


class Room(NamedTuple):
    """Where patches may be held, and what else the fit holds.

    ``folder`` is for files; ``always`` holds patches there even if memory has room.
    ``n_copies`` of each image have patches, too, which the size of the coreset does not
    count. ``numbered``: each patch has a number, 8 bytes and what is computed of it.
    """

    folder: Path
    coreset: float = 0.05
    n_copies: int = 0
    numbered: bool = False
    always: bool = False
    progress: bool = False

    @classmethod
    def of(cls, cache: str | os.PathLike[str] | None = None, **given: Any) -> Room:
        """Return one whose folder the parameter ``cache`` names."""
        folder = default_folder() if cache is None else Path(cache)
        return cls(folder, always=cache is not None, **given)

    def needs(self, n_points: int, n_features: int, n_held: int = 0) -> Needs:
        """Return what the fit of so many points takes; ``n_held`` are there already."""
        row = 4 * n_features
        n_bank = coreset_size(self.coreset, max(1, n_points // (1 + self.n_copies)))
        beside = PATCH_BYTES + (MORE_BYTES if self.numbered else 0)
        beside = int(beside * n_points + BANK_COPIES * n_bank * row)
        beside += SAMPLE * row if n_points > SAMPLE else 0
        in_memory = max(int(PEAK * n_points * row), n_points * row + beside)
        memory, disk = available_memory(), free_disk(self.folder)
        addresses = free_addresses()
        if addresses is not None:  # which a file that is mapped takes, too
            disk = max(0, min(disk, addresses - beside))
        held = n_held * row
        if self.always:
            disk += held
        else:
            memory += held
        in_a_file = self.always or in_memory > memory
        needed = int(PEAK * n_points * row)
        return Needs(in_memory, beside, needed, memory, disk, in_a_file)

    def check(
        self,
        n_images: int,
        n_points: int,
        n_features: int,
        n_held: int = 0,
        seconds: float | None = None,
    ) -> bool:
        """Return whether patches go to a file; raise where there is no room either.

        ``seconds`` is about how long it takes to read all images.
        """
        needs = self.needs(n_points, n_features, n_held)
        takes = f"The patches of {n_images} images, {n_points // n_images:,} of "
        takes += f"{n_features} features each, take {needs.in_memory / 1e9:.3g} GB "
        takes += f"while a coreset is chosen; {needs.free_memory / 1e9:.3g} GB of "
        takes += "memory are free"
        if needs.fits:
            if needs.in_a_file and not self.always:
                line = f"{takes}. So they go to a file in {self.folder}."
                note(line, enabled=self.progress)
            return needs.in_a_file
        text = f"{takes}. On the disk of {self.folder} they would take "
        text += f"{needs.disk / 1e9:.3g} GB, and {needs.beside / 1e9:.3g} GB of memory "
        text += f"beside them; {needs.free_disk / 1e9:.3g} GB can be had there. "
        text += self.advice(needs, n_images)
        if seconds is not None:
            text += f" To read these images would take about {duration(seconds)}."
        raise MemoryError(text)

    def advice(self, needs: Needs, n_images: int) -> str:
        """Return what to set where images do not fit."""
        # Everything is in proportion to the number of images, or less where the
        # coreset is a count.
        share = min(
            needs.free_memory / needs.beside, needs.free_disk / max(needs.disk, 1)
        )
        if not self.always:
            share = max(share, needs.free_memory / needs.in_memory)
        return (
            f"Fit {int(share * n_images)} images, set image_size to "
            f"{math.sqrt(share):.2g} of its sides, a region or a smaller coreset, or "
            "set cache to a folder on a disk with more room."
        )


class Rows:
    """Rows of patches, in memory or, once that lacks room, in a file.

    Where the number of images is known, skipped ones included, where they go is decided
    with the first and the array is made at once; memory that is never filled is never
    touched. Otherwise it grows in place, and is moved to a file if need be.
    """

    def __init__(self, room: Room, n_images: int | None) -> None:
        self._room, self._expected = room, n_images
        self._whole = np.empty((0, 0), np.float32)
        self._file: RowFile | None = None
        self._n_rows = self._n_images = 0
        self._begun = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:  # what is mapped of it stays
            self._file.file.close()

    def add(self, rows: Float32Array, n_images: int) -> None:
        """Append the rows, (n, n_features), of the next images."""
        n_features = rows.shape[1]
        if not self._n_rows:
            expected = max(self._expected or n_images, n_images)
            n_rows = expected * (len(rows) // n_images)
            seconds = (time.perf_counter() - self._begun) / n_images * expected
            if self._room.check(expected, n_rows, n_features, 0, seconds):
                self._file = RowFile(self._room.folder)
            else:
                self._whole = np.empty((n_rows, n_features), np.float32)
        n_rows = self._n_rows + len(rows)
        if self._file is None and n_rows > len(self._whole):
            seen, held = self._n_images + n_images, self._n_rows
            if self._room.check(seen, n_rows, n_features, held):
                self._file = RowFile(self._room.folder)
                for first in range(0, held, len(rows)):
                    self._file.add(self._whole[first : min(first + len(rows), held)])
                self._whole = np.empty((0, 0), np.float32)
            else:  # in place, as nobody else has seen it
                self._whole.resize((n_rows, n_features), refcheck=False)
        if self._file is None:
            self._whole[self._n_rows : n_rows] = rows
        else:
            self._file.add(rows)
        self._n_rows, self._n_images = n_rows, self._n_images + n_images

    def whole(self) -> tuple[Float32Array, Path | None]:
        """Return all rows, and the folder of their file where they are in one."""
        if self._file is None:
            return self._whole[: self._n_rows], None
        return self._file.whole(), self._room.folder


class RowFile:
    """Rows in a file, one after the other; by default one that nothing is left of."""

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        self.folder = folder
        self.file = scratch_file(folder) if path is None else path.open("r+b")
        self.n_rows = self.n_features = self._n_waiting = 0

    def add(self, rows: Float32Array) -> None:
        """Write rows, (n, n_features), behind the others."""
        with no_room_named(self.folder):
            self.file.write(np.ascontiguousarray(rows).data)
            self._n_waiting += rows.nbytes
            if self._n_waiting > FLUSHED:
                self.flush()
        self.n_rows, self.n_features = self.n_rows + len(rows), rows.shape[1]

    def cut(self, n_rows: int, n_features: int) -> None:
        """Keep the first rows alone, of a file that was there before."""
        self.n_rows, self.n_features = n_rows, n_features
        self.file.truncate(4 * n_rows * n_features)
        self.file.seek(0, os.SEEK_END)

    def flush(self) -> None:
        """Bring what was written to the disk; until then it takes memory."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._n_waiting = 0

    def whole(self) -> Float32Array:
        """Return all rows; writing to them writes to the file."""
        with no_room_named(self.folder):
            self.flush()
        return mapped(self.file, (self.n_rows, self.n_features), np.float32)
