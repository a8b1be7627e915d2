"""A folder that is looked at again and again: which of its files are whole and new.

Looking works on every file system; events come neither from network folders nor from
many mounts of containers, and would still need a look after each start.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from adlib._typing import AnyArray
from adlib.images._decode import SUFFIXES, read_content
from adlib.images._folders import SYSTEM_NAMES

MOST_TRIES = 3  # of a file that cannot be read or decoded, each after twice the time
MOST_BYTES = 256 * 2**20  # of the files of one batch, but for a single one
LARGEST = 2 * 2**30  # bytes of a file that is read at all


class Key(NamedTuple):
    """What of a file changes when it is written or replaced."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Key:
        """Take it from what the system says; Windows has no inodes in listings."""
        inode = stat.st_ino if sys.platform != "win32" else 0
        return cls(stat.st_size, stat.st_mtime_ns, inode)


class Candidate(NamedTuple):
    """A file that may still be written: seen with this key first at ``since``."""

    path: str  # relative to the folder, with slashes
    key: Key
    since: float  # seconds of a clock that nobody sets
    tries: int = 0


class Loaded(NamedTuple):
    """What was read of a candidate: bytes, or an error, or neither if it changed."""

    file: Candidate
    content: bytes | None = None
    sha256: str | None = None
    error: str | None = None

    def pixels(self) -> AnyArray:
        """Decode the bytes, or raise ImageError."""
        assert self.content is not None
        return read_content(self.content, self.file.path)


class Folder:
    """The images of a folder, those of its folders too.

    Args:
        root: The folder. Hidden files and folders, links to folders and what is no
            image by its name are ignored.
        settle: Seconds for which size and time of a file must not change.
        is_known: Whether a file of this path and key was judged in an earlier run.
        excluded: A folder inside that does not count.
    """

    def __init__(
        self,
        root: Path,
        settle: float,
        is_known: Callable[[str, Key], bool],
        excluded: Path | None = None,
    ) -> None:
        self.root = root
        self.left_out: set[str] = set()  # suffixes of files that are no images here
        self.unreadable: list[str] = []  # errors of folders inside, at the last look
        self._settle = settle
        self._is_known = is_known
        self._excluded = None if excluded is None else str(excluded.absolute())
        self._done: dict[str, Key] = {}  # of files that are still there
        self._taken: dict[str, Candidate] = {}
        self._waiting: dict[str, Candidate] = {}

    @property
    def n_waiting(self) -> int:
        """How many files are not judged yet."""
        return len(self._waiting) + len(self._taken)

    def look(self, now: float) -> None:
        """Look at all files; raise OSError where the folder itself cannot be read."""
        found = dict(self._files())
        before = self._done
        self._done = {p: key for p, key in before.items() if found.get(p) == key}
        waiting = self._waiting
        self._waiting = {p: w for p, w in waiting.items() if found.get(p) == w.key}
        new = []
        for path, key in found.items():
            taken = self._taken.get(path)
            is_old = path in self._done or path in self._waiting
            if is_old or (taken is not None and taken.key == key):
                continue
            seen = path in before or path in waiting or taken is not None
            if not seen and self._is_known(path, key):
                self._done[path] = key
            else:
                new.append(Candidate(path, key, now))
        for one in sorted(new, key=lambda one: (one.key.mtime_ns, one.path)):
            self._waiting[one.path] = one

    def take(self, n_files: int, now: float) -> list[Candidate]:
        """Take the next files that have settled, in the order in which they came."""
        batch: list[Candidate] = []
        n_bytes = 0
        for one in self._waiting.values():
            n_bytes += one.key.size
            if len(batch) == n_files or (batch and n_bytes > MOST_BYTES):
                break
            if now - one.since >= self._settle * 2**one.tries:
                batch.append(one)
        for one in batch:
            self._taken[one.path] = self._waiting.pop(one.path)
        return batch

    def done(self, file: Candidate) -> None:
        """Note that a file needs no more looks while it stays as it is."""
        self.drop(file)
        self._done[file.path] = file.key

    def drop(self, file: Candidate) -> None:
        """Forget a file that has changed or gone; the next look decides."""
        self._taken.pop(file.path, None)

    def try_again(self, file: Candidate, now: float) -> bool:
        """Let a file that cannot be used wait; return False after the last try."""
        if file.tries + 1 >= MOST_TRIES:
            return False
        self.drop(file)
        later = file._replace(since=now, tries=file.tries + 1)
        self._waiting.setdefault(file.path, later)
        return True

    def load(self, file: Candidate) -> Loaded:
        """Read a file, all bytes of which must be of one moment."""
        path = self.root / file.path
        try:
            if file.key.size > LARGEST:
                raise OSError(f"it has more than {LARGEST:,} bytes")
            with path.open("rb") as opened:
                before = Key.of(path.stat())
                content = opened.read(file.key.size + 1)
            if not before == Key.of(path.stat()) == file.key:
                return Loaded(file)
            if len(content) != file.key.size:
                raise OSError(f"{len(content)} of {file.key.size} bytes came")
        except FileNotFoundError:
            return Loaded(file)
        except Exception as error:  # such as one of a network folder, or of memory
            return Loaded(file, error=f"{file.path} cannot be read: {error}.")
        return Loaded(file, content, hashlib.sha256(content).hexdigest())

    def _files(self) -> Iterator[tuple[str, Key]]:
        """Yield the images by relative path; what goes meanwhile is left out."""
        root = str(self.root.absolute())
        folders = [root]
        self.unreadable = []
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name[0] == "." or entry.name.lower() in SYSTEM_NAMES:
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            if entry.path != self._excluded:
                                folders.append(entry.path)
                        elif (key := self._key_of(entry)) is not None:
                            path = entry.path[len(root) + 1 :].replace(os.sep, "/")
                            yield path, key
            except OSError as error:
                if folder == root:
                    raise
                if not isinstance(error, FileNotFoundError):
                    self.unreadable.append(str(error))

    def _key_of(self, entry: os.DirEntry[str]) -> Key | None:
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - quicker
        if suffix not in SUFFIXES:
            self.left_out.add(suffix)
            return None
        try:
            return Key.of(entry.stat()) if entry.is_file() else None
        except FileNotFoundError:
            return None
