"""Unpack the archive of one class, so that it appears whole or not at all."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from adlib.exceptions import DownloadError

# Far above any class of a data set here, and far below what would fill a disk unseen.
MOST_BYTES = 8 * 2**30
MOST_MEMBERS = 50_000


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

    It is unpacked beside its place, under a hidden name, and then renamed. Whatever
    stops it, the folder is there whole or not at all; what an earlier kill left under
    the hidden name is deleted.

    Raises:
        DownloadError: The archive is damaged, holds anything but files and folders
            under ``name``, or unpacks to more than 8 GiB or 50 000 members.
        FileExistsError: The folder is there.
        RuntimeError: This Python cannot unpack safely.
    """
    check_can_unpack()
    place = root / name
    if place.exists():
        raise FileExistsError(f"{place} is there already.")
    for left in root.glob(f".{name}.*.tmp"):
        shutil.rmtree(left)
    temporary = Path(tempfile.mkdtemp(".tmp", f".{name}.", root))
    try:
        with tarfile.open(archive, "r:xz") as tar:
            n_bytes = 0
            for n_members, member in enumerate(tar, start=1):
                n_bytes += member.size
                _check_size(archive, n_bytes, n_members)
                _check_member(archive, member, name)
                tar.extract(member, temporary, filter="data")
        if not (temporary / name).is_dir():
            raise DownloadError(f"{archive} must hold a folder {name!r}; it has none.")
        (temporary / name).rename(place)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({type(error).__name__}: {error}). Delete "
            "it to download it anew."
        ) from error
    finally:
        shutil.rmtree(temporary)
    return place


def _check_size(archive: Path, n_bytes: int, n_members: int) -> None:
    if n_bytes > MOST_BYTES or n_members > MOST_MEMBERS:
        raise DownloadError(
            f"{archive} must unpack to at most {MOST_BYTES / 2**30:.0f} GiB and "
            f"{MOST_MEMBERS} members; it holds more. Delete it."
        )


def _check_member(archive: Path, member: tarfile.TarInfo, name: str) -> None:
    """Raise if a member is no file or folder, or lies outside the class's folder.

    A data set has no use for links, so that where they lead need not be asked.
    """
    path = PurePosixPath(member.name)
    inside = path.parts[:1] == (name,) and ".." not in path.parts
    if not inside or not (member.isfile() or member.isdir()):
        raise DownloadError(
            f"{archive} must hold files and folders under {name!r} alone; it holds "
            f"{member.name!r}. Nothing was unpacked; delete it."
        )
