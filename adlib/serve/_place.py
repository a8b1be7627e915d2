"""Move or link images by decision, without ever overwriting one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

from adlib._files import flush, sha256_of
from adlib.serve._deliver import Refused
from adlib.serve._results import Result, Results

# What says that a file cannot be linked there, as on other disks.
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Place:
    """Brings each image to TARGET/PASS, /REVIEW or /FAIL, as ``--move-to`` asks.

    A name that is taken gets the number of the result. After a kill the same call ends
    what was begun: a file to be moved is first renamed to a hidden name that tells its
    result, so that nobody replaces it meanwhile.

    Args:
        root: The folder in which the images came.
        target: Where they go.
        how: "move", or "link" (hard links, on the same disk) and leave them there.

    Raises:
        ValueError: The target is the folder itself, or holds it; or there are to be
            links on another disk.
        OSError: The target cannot be made.
    """

    def __init__(self, root: Path, target: Path, how: Literal["move", "link"]) -> None:
        self.name: str = how
        self._root, self._target = root.absolute(), target.absolute()
        if root.resolve().is_relative_to(target.resolve()):
            rule = "must be another folder than the one that is watched, or above it"
            raise ValueError(f"--{how}-to {rule}; got {str(target)!r}.")
        target.mkdir(parents=True, exist_ok=True)
        if how == "link" and root.stat().st_dev != target.stat().st_dev:
            rule = "must be on the same disk as the folder that is watched"
            raise ValueError(f"--link-to {rule}; got {str(target)!r}.")

    def start(self, results: Results, product: str) -> int:
        """Return the number of the last result whose image was placed."""
        return results.sink_at(product, self.name)

    def send(self, result: Result) -> str | None:
        """Place an image; return where it was moved to."""
        source = self._root / result.path
        wanted = self._target / result.decision / result.path
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if self.name == "link":
            self._link(source, wanted, result)
            return None
        held = source.with_name(f".adlib-{result.number}.tmp")
        if not held.exists() and _is_judged(source, result):
            source.rename(held)
        if not held.exists():
            return str(self._placed_before(wanted, result))
        if not _is_judged(held, result):  # replaced between two lines
            _give_back(held, source, result)
            raise Refused(f"{source} was replaced before it was moved.")
        final = _bring(held, wanted, result)
        held.unlink()
        return str(final)

    def close(self) -> None:
        """Do nothing."""

    def _link(self, source: Path, wanted: Path, result: Result) -> None:
        if not _is_judged(source, result):
            raise Refused(f"{source} is gone or was replaced before it was linked.")
        final = _bring(source, wanted, result, copy=False)
        if not _is_judged(final, result):
            final.unlink()
            raise Refused(f"{source} was replaced before it was linked.")

    def _placed_before(self, wanted: Path, result: Result) -> Path:
        """Return where the image lies already, or refuse."""
        for path in _names(wanted, result):
            if not path.exists():
                break
            if _is_judged(path, result):
                return path
        raise Refused(f"{self._root / result.path} is gone or was replaced.")


def _names(wanted: Path, result: Result) -> Iterator[Path]:
    """Yield the names that an image may get, in order."""
    yield wanted
    yield wanted.with_stem(f"{wanted.stem}-{result.number}")
    for number in count(1):
        yield wanted.with_stem(f"{wanted.stem}-{result.number}-{number}")


def _bring(source: Path, wanted: Path, result: Result, *, copy: bool = True) -> Path:
    """Give a file the first free name, or one that it has already."""
    for path in _names(wanted, result):
        try:
            _link_or_copy(source, path, copy=copy)
        except FileExistsError:
            if not _is_judged(path, result):
                continue
        _part_of(path).unlink(missing_ok=True)  # of a copy that a kill came behind
        return path
    raise AssertionError


def _link_or_copy(source: Path, path: Path, *, copy: bool) -> None:
    """Give a file another name, on another disk as a copy; raise where it is taken."""
    try:
        os.link(source, path)
        return
    except FileExistsError:
        raise
    except OSError as error:
        if not copy or error.errno not in NO_LINKS:
            raise
    if path.exists():
        raise FileExistsError(path)
    part = _part_of(path)
    shutil.copy2(source, part)
    flush(part)
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        part.rename(path)
        return
    finally:
        part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _is_judged(path: Path, result: Result) -> bool:
    """Ask whether a file is there and holds the bytes that were judged."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if result.size is not None and found.st_size != result.size:
        return False
    if result.sha256 is None:  # it could not be read
        return found.st_mtime_ns == result.mtime_ns
    return sha256_of(path) == result.sha256


def _give_back(held: Path, source: Path, result: Result) -> None:
    """Put back a file that was not judged, so that it is."""
    for path in _names(source, result):
        try:
            _link_or_copy(held, path, copy=True)
        except FileExistsError:
            continue
        break
    held.unlink()
