"""Where adlib keeps what it can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return adlib's folder for what can be made again; it may not exist yet.

    ``$ADLIB_CACHE`` where it is set; else ``adlib`` in ``$XDG_CACHE_HOME`` or, on
    Windows, in ``%LOCALAPPDATA%``; else ``~/.cache/adlib``.
    """
    chosen = os.environ.get("ADLIB_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    base = Path(os.environ.get(variable, ""))
    # The XDG specification asks to ignore a relative path, which an empty one is too.
    return (base if base.is_absolute() else Path.home() / ".cache") / "adlib"
