"""The study's two tables: scores, one row an image; figures, one row a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from adlib._files import replacing
from adlib.study import _names as names

Rows: TypeAlias = list[dict[str, Any]]
_WHOLE = ("n", "label", "verdict", "row")
_TEXT = {*names.FIGURE_KEYS, *names.SCORE_KEYS, "defect_type", "file"}


def row(metric: str, *numbers: float | None, **others: Any) -> dict[str, Any]:
    """Return a row of the figures: value, low and high; what is left out is missing."""
    named = zip(("value", "low", "high"), numbers, strict=False)
    return {"metric": metric, **dict(named), **others}


def rows_of(found: Mapping[str, Any], **others: Any) -> Rows:
    """Return a row for each metric: its value, or its value and bounds."""
    return [
        row(metric, *(value if isinstance(value, tuple) else (value,)), **others)
        for metric, value in found.items()
    ]


def figures(rows: Iterable[Mapping[str, Any]], **keys: str) -> pd.DataFrame:
    """Return rows as figures; ``class_`` is the column "class"."""
    stated = {name.rstrip("_"): value for name, value in keys.items()}
    return _typed([{**stated, **one} for one in rows], names.FIGURE_COLUMNS)


def scores(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows, a mapping an image, as scores."""
    return _typed(list(rows), names.SCORE_COLUMNS)


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    """Return tables of the same columns below each other."""
    return pd.concat(tables, ignore_index=True)


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return figures, and below them those of class "mean".

    Metrics of whole classes and differences of them are averaged, every class counting
    the same; where a class lacks one there is no mean, since it would be of others.
    """
    chosen = table[(table["setting"] == "") & table["metric"].isin(names.METRICS)]
    keys = [key for key in names.FIGURE_KEYS if key != "class"]
    values = chosen.groupby(keys, sort=False)["value"]
    found = values.agg(value=lambda of: np.mean(of.to_numpy()), n="size").reset_index()
    n_classes = found["method"].map(table.groupby("method")["class"].nunique())
    means = found[found["n"] == n_classes].to_dict("records")  # a NaN stays
    return joined(table, figures(means, class_=names.MEAN)) if means else table


def write_figures(table: pd.DataFrame, path: Path) -> None:
    """Write figures as JSON, a record a line, every float exact; the folder is made.

    What is missing, NaN or infinite is null.
    """
    finite = table.notna() & ~table.isin([np.inf, -np.inf])
    records = table.astype(object).where(finite, None).to_dict("records")
    lines = ",\n".join(json.dumps(one, allow_nan=False) for one in records)
    _write(f"[\n{lines}\n]\n", path)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write scores as CSV, every float exact; the folder is made."""
    _write(table.to_csv(index=False, lineterminator="\n"), path)


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write facts as JSON, whole or not at all; the folder is made."""
    _write(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def read_figures(outputs: str | Path) -> pd.DataFrame:
    """Read all figures that the phases have written, in the order of the phases.

    Args:
        outputs: The study's folder of outputs.

    Returns:
        A row a number: phase, condition, method, class, setting, versus, metric, value,
        low, high, n, p; and where it stands: file, below the outputs, and row, from 1.
        Texts are "", numbers NaN where there is nothing to say.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A file holds something else.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import read_figures
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "results", "clean_results.json")
        ...     file.parent.mkdir()
        ...     _ = file.write_text('[{"metric": "f1", "value": 0.9}]')
        ...     read_figures(folder)[["metric", "value", "row"]].values.tolist()
        [['f1', 0.9, 1]]
    """
    return _read_all(outputs, "*.json", names.FIGURE_COLUMNS, "metric")


def read_scores(outputs: str | Path) -> pd.DataFrame:
    r"""Read the scores of all images that the phases have written.

    Args:
        outputs: The study's folder of outputs.

    Returns:
        A row an image: phase, condition, method, class, split ("val" or "test"), image
        (its file's name), label (1: anomalous), defect_type, score (NaN: skipped),
        threshold, verdict (+1 normal, -1 anomalous); and file and row, as
        ``read_figures`` has them.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A file holds something else.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import read_scores
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "results", "clean_scores.csv")
        ...     file.parent.mkdir()
        ...     _ = file.write_text("image,label,verdict\na,1,-1")
        ...     read_scores(folder)[["image", "label", "verdict"]].values.tolist()
        [['a', 1, -1]]
    """
    return _read_all(outputs, "*_scores.csv", names.SCORE_COLUMNS, "image")


def as_text(table: pd.DataFrame, metrics: Sequence[str] = ()) -> str:
    """Return figures as text: a column a metric, or, of differences, a line each."""
    if metrics:
        table = table[table["metric"].isin(metrics)]
    if table.empty:
        return "Nothing to show."
    keys = ["condition", "method", "class", "setting", "versus"]
    keys = [key for key in keys if (table[key] != "").any()]
    if "versus" in keys:
        shown = table[[*keys, "metric", "value", "low", "high", "n", "p"]]
        return str(shown.dropna(axis=1, how="all").to_string(index=False, na_rep=""))
    wide = table.set_index([*keys, "metric"])["value"].unstack(sort=False)
    if metrics:
        wide = wide[[metric for metric in metrics if metric in wide]]
    options: dict[str, Any] = {"na_rep": "-", "float_format": "{:.4g}".format}
    return str(wide.reset_index().to_string(index=False, **options))


def _typed(rows: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return rows with these columns, each of its type."""
    table = pd.DataFrame(rows).reindex(columns=list(columns))
    for name in columns:
        if name in _TEXT:
            table[name] = table[name].astype(object).fillna("").astype(str)
        else:
            table[name] = table[name].astype("float64")
            if name in _WHOLE:
                table[name] = table[name].astype("Int64")
    return table


def _read_all(
    outputs: str | Path, pattern: str, columns: Sequence[str], known: str
) -> pd.DataFrame:
    """Return the rows of all files of a pattern, each with where it stands."""
    folder = Path(outputs) / "results"
    if not any(folder.glob("*")):
        raise FileNotFoundError(f"There are no results in {str(folder)!r}.")
    columns = (*columns, "file", "row")
    tables = [_typed([], columns)]
    for path in sorted(folder.glob(pattern)):
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            found = pd.DataFrame(content if isinstance(content, list) else [content])
        else:  # as text: what pandas makes of numbers varies in the last bit
            options: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
            found = pd.read_csv(path, dtype=str, **options)
        if len(found) and (known not in found or found[known].isna().any()):
            raise ValueError(
                f"{str(path)!r} must hold rows of the study's tables; it is damaged, "
                "or an earlier adlib wrote it. Delete it, and run the study again."
            )
        place = {"file": f"results/{path.name}", "row": range(1, len(found) + 1)}
        tables.append(_typed(found.assign(**place), columns))
    return joined(*tables).sort_values("phase", kind="stable", ignore_index=True)


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
