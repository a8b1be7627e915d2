"""Whether two runs of the study found the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a clock says is never the same twice.
TIMES = frozenset(
    {
        "fit_seconds",
        "score_milliseconds",
        "p50_milliseconds",
        "p95_milliseconds",
        "p99_milliseconds",
        "images_a_second",
        "share",
    }
)


def differing_results(first: Path, second: Path) -> list[str]:
    """Compare the results and thresholds of two runs, all but the times.

    Args:
        first: Outputs of a study.
        second: Of another.

    Returns:
        What differs: one line for each file that only one has, for each place of a JSON
        file, and for each other file; empty where all is the same, byte for byte.

    Raises:
        FileNotFoundError: One of them has no results.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import differing_results, write_json
        >>> with TemporaryDirectory() as folder:
        ...     first, second = Path(folder, "first"), Path(folder, "second")
        ...     for outputs, auroc in ((first, 0.9), (second, 0.8)):
        ...         (outputs / "thresholds").mkdir(parents=True)
        ...         write_json({"auroc": auroc}, outputs / "results" / "clean.json")
        ...     differing_results(first, second)
        ['results/clean.json: auroc: 0.9, 0.8']
    """
    lines = []
    for folder in ("results", "thresholds"):
        names = [_names(outputs / folder) for outputs in (first, second)]
        lines += [
            f"{folder}/{name}: only in one" for name in sorted(names[0] ^ names[1])
        ]
        for name in sorted(names[0] & names[1]):
            paths = [outputs / folder / name for outputs in (first, second)]
            one, other = (path.read_bytes() for path in paths)
            if one == other:
                continue
            if not name.endswith(".json"):
                lines.append(f"{folder}/{name}: other bytes")
                continue
            found = [dict(_leaves(json.loads(text))) for text in (one, other)]
            for place in sorted(found[0].keys() | found[1].keys()):
                values = [leaves.get(place, "nothing") for leaves in found]
                if values[0] != values[1] and place.rsplit("/", 1)[-1] not in TIMES:
                    lines.append(
                        f"{folder}/{name}: {place}: {values[0]!r}, {values[1]!r}"
                    )
    return lines


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
    return {path.name for path in folder.iterdir() if path.is_file()}


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every number, text and null with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}/{key}" if place else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{place}/{number}")
    else:
        yield place, value
