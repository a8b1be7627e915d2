"""Results read back from their files, for what comes after them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class SavedFigure(NamedTuple):
    """A figure with its interval, as it was saved.

    Attributes:
        value: The figure.
        low: Lower bound; NaN: it was saved without an interval.
        high: Upper bound, likewise.
    """

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

    Example:
        >>> from adlib.study import SavedResult
        >>> result = SavedResult("any", "part", {"image": {"recall": 0.9}})
        >>> result.figure("image_recall")
        SavedFigure(value=0.9, low=nan, high=nan)
    """

    method: str
    class_name: str
    entry: dict[str, Any]

    def figure(self, metric: str) -> SavedFigure | None:
        """Return a figure by the name that configurations use.

        Args:
            metric: One of the names in ``Evaluation.figures``.

        Returns:
            The figure; None: there is none.
        """
        part = "image" if metric.startswith("image_") else "pixel"
        name = metric.removeprefix("image_").removeprefix("pixel_")
        found = (self.entry[part] or {}).get(name)
        if found is None:
            return None
        if isinstance(found, dict):
            return SavedFigure(found["value"], found["low"], found["high"])
        return SavedFigure(found, float("nan"), float("nan"))


def read_results(path: Path) -> list[SavedResult]:
    """Read what ``write_results`` wrote.

    Args:
        path: The JSON file.

    Returns:
        A result for each method and class, in the file's order.

    Raises:
        FileNotFoundError: There is no such file.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate, read_results, write_results
        >>> samples = [Sample(Path("0.png"), 0, "good", None, "part", "test")]
        >>> with TemporaryDirectory() as folder:
        ...     found = evaluate([0.3], samples)
        ...     path, _ = write_results([found], Path(folder), "clean")
        ...     [one.class_name for one in read_results(path)]
        ['part']
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        SavedResult(method, class_name, entry)
        for method, found in content["methods"].items()
        for class_name, entry in found["classes"].items()
    ]
