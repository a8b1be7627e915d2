"""One process at a time in a study's outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


def locked(outputs: Path, name: str, say: Callable[[str], None]) -> Any:
    """Return a lock, held until a with statement ends, or else until the process does.

    The system gives it back, however the process ends. Where another process holds it,
    that is said and waited for; the same process may take it again.
    """
    path = outputs / "state" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, is_singleton=True)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        say(f"another process works in {str(outputs)!r}; waiting ...")
        return lock.acquire()
