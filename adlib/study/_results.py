"""Results of several methods on several classes: files, tables, macro averages."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from adlib._files import replacing
from adlib.study._evaluation import Evaluation
from adlib.study._json import plain, write_json
from adlib.study._tables import text_table

VERSION = 1
MACRO_AVERAGE = "macro average"


def macro_average(evaluations: Iterable[Evaluation]) -> dict[str, float]:
    """Return the mean of each figure over classes, every class counting the same.

    Figures that not every class has are left out: their mean would be of others.

    Args:
        evaluations: Of one method on one or more classes.

    Returns:
        Means by the names of ``Evaluation.figures``; {} of none.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate, macro_average
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(4)]
        >>> scored = [1, 2, 3, 4], [1, 3, 2, 4]
        >>> found = [evaluate(scores, samples) for scores in scored]
        >>> macro_average(found)["image_auroc"]
        0.875
    """
    rows = [evaluation.figures() for evaluation in evaluations]
    if not rows:
        return {}
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows])) for name in shared}


def write_results(
    evaluations: Sequence[Evaluation],
    folder: Path,
    name: str,
    notes: dict[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write ``{name}.json``, everything, and ``{name}.csv``, one figure a row.

    Args:
        evaluations: Of one or more methods on one or more classes, each pair once.
        folder: Made if it is not there.
        name: Of both files, without suffix. Files of these names are replaced whole.
        notes: What the JSON file says beside them, e.g. seed and versions.

    Returns:
        The paths of both.

    Raises:
        ValueError: A method comes twice with the same class, or there is none at all.
        OSError: The folder cannot be written to.

    Note:
        A figure that is not a number, as precision is where no image is called
        anomalous, is null in the JSON file and "nan" in the CSV file.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate, write_results
        >>> samples = [Sample(Path("0.png"), 0, "good", None, "part", "test")]
        >>> with TemporaryDirectory() as folder:
        ...     found = evaluate([0.3], samples)
        ...     [path.name for path in write_results([found], Path(folder), "clean")]
        ['clean.json', 'clean.csv']
    """
    by_method = _by_method(evaluations)
    content = {
        "version": VERSION,
        **(notes or {}),
        "methods": {
            method: {
                "classes": {one.class_name: one.as_dict() for one in rows},
                "macro_average": plain(macro_average(rows)),
            }
            for method, rows in by_method.items()
        },
    }
    json_path, csv_path = folder / f"{name}.json", folder / f"{name}.csv"
    write_json(content, json_path)
    with replacing(csv_path) as temporary:
        temporary.write_text(_csv(by_method), encoding="utf-8", newline="")
    return json_path, csv_path


def results_table(evaluations: Sequence[Evaluation], metrics: Sequence[str]) -> str:
    """Return a table for people: a row for each method and class, and their means.

    Args:
        evaluations: Of one or more methods on one or more classes.
        metrics: The columns, by the names of ``Evaluation.figures``; what a class does
            not have is a dash.

    Returns:
        A heading, and a row for each method and class.

    Raises:
        ValueError: A method comes twice with the same class, or there is none at all.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate, results_table
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(4)]
        >>> print(results_table([evaluate([1, 2, 2, 4], samples)], ["image_auroc"]))
        method  class   auroc
        scores  part   0.8750
    """
    names = [metric.removeprefix("image_").replace("_", " ") for metric in metrics]
    columns = ["method", "class", *names]
    lines = []
    for method, rows in _by_method(evaluations).items():
        tables = [(row.class_name, row.figures()) for row in rows]
        if len(rows) > 1:
            tables.append((MACRO_AVERAGE, macro_average(rows)))
        lines += [[method, name, *_cells(figures, metrics)] for name, figures in tables]
    return text_table(columns, lines, n_names=2)


def _by_method(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    if not evaluations:
        raise ValueError("evaluations must hold at least one; got none.")
    found: dict[str, dict[str, Evaluation]] = {}
    for one in evaluations:
        classes = found.setdefault(one.method, {})
        if one.class_name in classes:
            raise ValueError(
                f"evaluations must hold each method once a class; got {one.method!r} "
                f"twice for {one.class_name!r}."
            )
        classes[one.class_name] = one
    return {method: list(classes.values()) for method, classes in found.items()}


def _csv(by_method: dict[str, list[Evaluation]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "class", "metric", "value"])
    for method, rows in by_method.items():
        tables = [(one.class_name, one.figures()) for one in rows]
        tables.append((MACRO_AVERAGE, macro_average(rows)))
        for name, figures in tables:
            for metric, value in figures.items():
                writer.writerow([method, name, metric, repr(value)])
    return text.getvalue()


def _cells(figures: dict[str, float], metrics: Sequence[str]) -> list[str]:
    return [f"{figures[m]:.4f}" if m in figures else "-" for m in metrics]
