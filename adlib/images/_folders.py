"""Which files in a folder are images that somebody put there, by one rule."""

from __future__ import annotations

from pathlib import PurePath

# What systems and tools leave beside images, in lower case; names that start with a dot
# (._a.png, .ipynb_checkpoints, .Trash-1000, .DS_Store) are hidden everywhere.
SYSTEM_NAMES = frozenset(
    [
        "@eadir",  # Synology's thumbnails
        "__macosx",  # archives packed on a Mac
        "thumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    ]
)


def is_hidden(path: PurePath) -> bool:
    """Ask whether a path is hidden, or lies in a folder that is.

    Args:
        path: Relative to the folder that was asked for, whose own name does not count.
    """
    return any(
        part.startswith(".") or part.lower() in SYSTEM_NAMES
        for part in path.parts
        if part not in (".", "..")
    )
