"""Where adlib keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return adlib's folder for what can be made again; it may not exist yet.

    ``$ADLIB_CACHE`` where it is set; else the platform's folder for caches, such as
    ``~/.cache/adlib``.
    """
    chosen = os.environ.get("ADLIB_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return user_cache_path("adlib", appauthor=False)
