"""Results read back from their files, for what comes after them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class SavedFigure(NamedTuple):
    """A figure with its interval; NaN bounds: it was saved without one."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SavedResult:
    """What was measured of one model on one class.

    Attributes:
        method: What the model is called.
        class_name: The class.
        entry: What ``Evaluation.as_dict`` wrote.
    """

    method: str
    class_name: str
    entry: dict[str, Any]

    def figure(self, metric: str) -> SavedFigure | None:
        """Return a figure by the name that configurations use; None: there is none."""
        part = "image" if metric.startswith("image_") else "pixel"
        name = metric.removeprefix("image_").removeprefix("pixel_")
        found = (self.entry[part] or {}).get(name)
        if found is None:
            return None
        if isinstance(found, dict):
            return SavedFigure(found["value"], found["low"], found["high"])
        return SavedFigure(found, float("nan"), float("nan"))


def read_results(path: Path) -> list[SavedResult]:
    """Read what ``write_results`` wrote, in its order.

    Raises:
        FileNotFoundError: There is no such file.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        SavedResult(method, class_name, entry)
        for method, found in content["methods"].items()
        for class_name, entry in found["classes"].items()
    ]
