"""Write files completely or not at all, and tell them by their hashes."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and put it in its place at the end.

    ``path`` is the old file or the complete new one, even if the process or the machine
    stops. If the block raises, the old file stays and the temporary one is deleted.
    Where ``path`` is a link, the file that it points to is replaced. Raises OSError
    where the folder does not exist or takes no file, or ``path`` is no file.
    """
    target, temporary = _begin(path)
    permissions = temporary.stat().st_mode
    try:
        yield temporary
        temporary.chmod(permissions)  # a writer may have put its own file there
        flush(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":  # elsewhere a folder cannot be opened
        flush(target.parent)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise what ``replacing`` would raise, before long work is done."""
    _begin(path)[1].unlink()


def _begin(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return the file that ``path`` names and a new empty one beside it, or raise."""
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(target.parent)!r} does not exist.")
    if target.exists() and not target.is_file():
        raise OSError(f"{str(target)!r} must be a file; it is something else.")
    # Not longer than the name itself may be: any name that a folder takes can be saved.
    temporary = target.with_name(f".adlib-{secrets.token_hex(4)}.tmp")
    # Made at once and only if new, with the permissions that a new file gets here.
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        text = f"cannot be written here ({error.strerror})"
        raise type(error)(error.errno, text, str(target)) from error
    return target, temporary


def flush(path: Path) -> None:
    """Force a file, or on POSIX a folder's entries, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in 64 digits, read in parts."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
