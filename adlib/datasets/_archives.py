"""Unpack the archive of one class, so that it appears whole or not at all."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
from pathlib import Path

from adlib.exceptions import DownloadError


def check_can_unpack() -> None:
    """Raise if this Python lacks tarfile's filters, which keep archives in bounds.

    Raises:
        RuntimeError: Python is 3.11.0 to 3.11.3.
    """
    if not hasattr(tarfile, "data_filter"):
        raise RuntimeError(
            "Unpacking needs Python 3.11.4 or later: earlier ones cannot keep an "
            "archive from writing outside its folder. Upgrade Python."
        )


def unpack(archive: Path, root: Path, name: str) -> Path:
    """Unpack the folder ``name`` of a ``.tar.xz`` into ``root`` and return it.

    It is unpacked under a hidden name and then renamed, so that the folder is there
    whole or not at all. Python's "data" filter refuses paths and links that lead out
    of the folder, and devices; what lies beside ``name`` is not kept. How much it
    unpacks to is not limited: its checksum was compared with the publisher's.

    Raises:
        DownloadError: The archive is damaged, holds what the filter refuses, or has no
            folder ``name``.
        FileExistsError: The folder is there.
        RuntimeError: This Python cannot unpack safely.
    """
    check_can_unpack()
    place = root / name
    if place.exists():
        raise FileExistsError(f"{place} is there already.")
    for left in root.glob(f".{name}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(".tmp", f".{name}.", root) as temporary:
        try:
            with tarfile.open(archive, "r:xz") as tar:
                tar.extractall(temporary, filter="data")
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise DownloadError(
                f"{archive} cannot be unpacked ({type(error).__name__}: {error}). "
                "Delete it to download it again."
            ) from error
        unpacked = Path(temporary, name)
        if not unpacked.is_dir():
            raise DownloadError(f"{archive} must hold a folder {name!r}; it has none.")
        unpacked.rename(place)
    return place
