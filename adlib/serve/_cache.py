"""Files that can be made again, kept on disk up to a size."""

from __future__ import annotations

import os
import re
import secrets
import threading
from contextlib import suppress
from pathlib import Path

NAME = re.compile(r"[0-9a-f]{64}[\w.-]*")
LEFT = 0.8  # of the size, when the oldest were deleted
MILLION = 1_000_000


class Cache:
    """Files by name, of which the oldest go when there are too many.

    Several processes may share a folder. What cannot be written is not kept.

    Args:
        folder: Made when something is kept, for this user alone.
        n_bytes: Of all files together, about.
    """

    def __init__(self, folder: Path, n_bytes: int = 1000 * MILLION) -> None:
        self._folder, self._most = folder, n_bytes
        self._n_bytes: int | None = None  # not known before the first look
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """Return what was kept by a name, None if nothing was."""
        try:
            return self._path(name).read_bytes() or None
        except OSError:
            return None

    def put(self, name: str, content: bytes) -> bytes:
        """Keep content by a name, and return it."""
        path = self._path(name)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError:  # such as a full disk
            with suppress(OSError):
                temporary.unlink()
            return content
        with self._lock:
            if self._n_bytes is not None:
                self._n_bytes += len(content)
            if self._n_bytes is None or self._n_bytes > self._most:
                self._n_bytes = self._trimmed()
        return content

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"A name must begin with a SHA-256; got {name!r}.")
        return self._folder / name

    def _trimmed(self) -> int:
        """Delete the oldest files above the limit; return the bytes of the others."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat()
                except OSError:  # deleted by another process
                    continue
                found.append((stat.st_mtime_ns, stat.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        if total <= self._most:
            return total
        for _, size, path in sorted(found):
            Path(path).unlink(missing_ok=True)
            total -= size
            if total <= LEFT * self._most:
                break
        return total
