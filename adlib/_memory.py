"""How much memory this process may still take, limits of containers included.

Those of the process itself too (``ulimit -v`` and ``-d``, as clusters set them).
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

# Of control groups, version 2 and 1: the limit, what is taken, and what of that is a
# cache of files that the kernel gives back when asked.
GROUPS = Path("/sys/fs/cgroup")
VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory(
    own: Path = Path("/proc/self/cgroup"), groups: Path = GROUPS
) -> int:
    """Return the bytes that can be taken before the machine or a limit has no more."""
    free = [int(psutil.virtual_memory().available), *_own_rooms()]
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return max(0, min(free))
    for line in lines:
        _, controllers, place = line.split(":", 2)
        for root, *files in VERSIONS:
            if root not in controllers.split(","):
                continue
            # The groups around one limit it, too; in a container none is above it.
            path = Path(place)
            for group in (path, *path.parents):
                room = _room(groups / root / str(group).lstrip("/"), *files)
                if room is not None:
                    free.append(room)
    return max(0, min(free))


def free_addresses() -> int | None:
    """Return how many bytes may still be mapped, files among them; None: any number."""
    return _left_of("RLIMIT_AS", "vms")


def _own_rooms() -> list[int]:
    """Return what the limits of this process leave of its addresses and of its data."""
    rooms = [free_addresses(), _left_of("RLIMIT_DATA", "data")]
    return [room for room in rooms if room is not None]


def _left_of(limit: str, used: str) -> int | None:
    if sys.platform == "win32":  # which has no such limits
        return None
    import resource  # noqa: PLC0415 - not there

    taken = psutil.Process().memory_info()
    if not (hasattr(resource, limit) and hasattr(taken, used)):
        return None
    most: int = resource.getrlimit(getattr(resource, limit))[0]
    if most == resource.RLIM_INFINITY:
        return None
    return max(0, most - int(getattr(taken, used)))


def _room(group: Path, limit: str, taken: str, cached: str) -> int | None:
    """Return how many bytes a group may still take; None: any."""
    try:
        most, used = (int((group / name).read_text()) for name in (limit, taken))
        stated = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # there is none, or its limit is "max"
        return None
    counts = dict(line.split() for line in stated)
    return most - used + int(counts.get(cached, 0))
