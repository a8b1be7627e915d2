"""Arrays in files that are gone with them, for what memory has no room for."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from numpy.typing import DTypeLike
from platformdirs import user_cache_path

from adlib._typing import AnyArray

IN_MEMORY = ("tmpfs", "ramfs")  # file systems whose files take memory, not disk
ZEROS = bytes(2**20)


def default_folder() -> Path:
    """Return the folder of files that no user has named one for."""
    return user_cache_path("adlib") / "patches"


def free_disk(folder: Path) -> int:
    """Return how many bytes files in a folder, which need not be there yet, may take.

    0 where they would take memory, as in a tmpfs.
    """
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    if kind_of_disk(place) in IN_MEMORY:
        return 0
    return shutil.disk_usage(place).free


def check_disk(folder: Path, n_bytes: int) -> None:
    """Raise OSError where files in a folder may not take so many bytes."""
    free = free_disk(folder)
    if free < n_bytes:
        text = f"{n_bytes / 1e9:.3g} GB are needed on a disk, {free / 1e9:.3g} GB can "
        text += "be had. Set XDG_CACHE_HOME to a folder on a disk with more room"
        raise OSError(errno.ENOSPC, text, str(folder))


def in_a_file(array: object) -> bool:
    """Say whether an array is memory-mapped, or a part of one that is."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def kind_of_disk(place: Path) -> str:
    """Return what kind of file system a path lies in, "" where that is not known."""
    try:
        disks = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):  # a sandbox without the system's list
        return ""
    mounts = {Path(disk.mountpoint): str(disk.fstype) for disk in disks}
    for above in (place, *place.parents):
        if above in mounts:
            return mounts[above]
    return ""


def scratch_file(folder: Path) -> IO[bytes]:
    """Open a file without a name, which is gone as soon as nobody uses it.

    So a process that is killed leaves nothing to clean.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


def scratch_array(
    shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None
) -> AnyArray:
    """Return an array of zeros, in a file of ``folder`` or, where that is None, memory.

    Raises OSError where the disk has no room for all of it.
    """
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if folder is None or not n_bytes:
        return np.zeros(shape, dtype)
    with scratch_file(folder) as file, no_room_named(folder):
        # Now: a page that the disk has no room for later would end the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            for first in range(0, n_bytes, len(ZEROS)):
                file.write(ZEROS[: n_bytes - first])
            file.flush()
        return mapped(file, shape, dtype)


@contextmanager
def no_room_named(folder: Path) -> Iterator[None]:
    """Name the folder, and the remedy, in the error of a disk that is full."""
    try:
        yield
    except OSError as error:
        text = f"{error.strerror}. Set cache to a folder on a disk with more room"
        raise type(error)(error.errno, text, str(folder)) from error


def mapped(file: IO[bytes], shape: tuple[int, ...], dtype: DTypeLike) -> AnyArray:
    """Return a file's first bytes as an array that writes to it."""
    return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
