"""Results as JSON holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adlib._files import replacing


def plain(value: Any) -> Any:
    """Return a value with named tuples as mappings, and without NaN and infinity.

    JSON knows neither; a number that is none of its own is null.
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON, whole or not at all.

    Args:
        content: What JSON knows, without NaN and infinity.
        path: The file, which is replaced if it is there; its folder is made.

    Raises:
        ValueError: There is NaN or infinity in it.
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import write_json
        >>> with TemporaryDirectory() as folder:
        ...     write_json({"seed": 42}, Path(folder, "notes.json"))
        ...     Path(folder, "notes.json").read_text().split()
        ['{', '"seed":', '42', '}']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
