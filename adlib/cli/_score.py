"""The command that scores images: a table, heat maps and an exit code."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from adlib._files import replacing
from adlib.cli._console import FOUND_ANOMALIES, file_to_write, tell, threshold_text
from adlib.cli._options import (
    Device,
    Errors,
    ImagePlaces,
    ModelFile,
    Precision,
    Runtime,
)
from adlib.exceptions import InputWarning, ModelFileError

if TYPE_CHECKING:
    from adlib.estimators import Inspection

COLUMNS = ["path", "score", "verdict", "error"]
COLUMNS += ["threshold", "worst_row_px", "worst_column_px", "overlay"]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # how spreadsheets' formulas begin


def score(
    model_file: ModelFile,
    images: ImagePlaces,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="CSV file to write; - or none: standard output."
        ),
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option(help="Folder for heat maps laid over the images (PNG)."),
    ] = None,
    by_score: Annotated[
        bool,
        typer.Option(
            "--by-score",
            help="Sort the table by score, the highest first, and number the overlays "
            "in that order.",
        ),
    ] = False,
    fail_on_anomaly: Annotated[
        bool,
        typer.Option(
            "--fail-on-anomaly", help="Exit with 3 if any is anomalous or skipped."
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        Precision | None,
        typer.Option(help="What the backbone computes in. Default: as in fit."),
    ] = None,
    runtime: Annotated[
        Runtime | None, typer.Option(help="What runs the backbone. Default: as in fit.")
    ] = None,
    on_error: Errors = "raise",
) -> None:
    """Score images: a CSV row each with path, score, verdict, error and position.

    Higher scores are more anomalous. The verdict is normal or anomalous, empty where
    the model has no threshold, and skipped where an image could not be used. The
    position is the centre of the patch with the highest score, in pixels from the top
    left.

    Example: adlib score part.adlib camera/ -o scores.csv --overlays maps/
    """
    from adlib.estimators import load

    table_file = None
    if output is not None and output != "-":
        table_file = file_to_write(output, "scores.csv")
        if table_file.exists() and table_file.samefile(model_file):
            raise ValueError("--output must be another file than the model.")
        if overlays is not None and table_file.absolute() == overlays.absolute():
            raise ValueError("--output must be a file, and --overlays another folder.")
    try:
        model = load(
            model_file,
            device=device,
            precision=precision,
            runtime=runtime,
        )
    except (FileNotFoundError, ModelFileError) as error:
        for word in filter(_is_model, images):
            raise ValueError(
                f"The model file comes before the images: adlib score {word} "
                f"{model_file}"
            ) from error
        raise
    model.set_params(on_error=on_error)
    for option, given in (
        ("--overlays", overlays is not None),
        ("--fail-on-anomaly", fail_on_anomaly),
    ):
        if given and model.threshold_ is None:
            raise ValueError(
                f"{option} needs a model with a threshold. "
                "Fit it with --holdout above 0, --good or --defects."
            )
    places = images if len(images) > 1 else images[0]
    with _Table(table_file, model.threshold_) as table:
        if overlays is not None:
            from adlib.overlays import save_overlays

            save_overlays(model, places, overlays, by_score=by_score, each=table.add)
        else:
            for result in _ranked(model.inspect(places), by_score):
                table.add(result)
    counts = f"{sum(table.counts.values())} images"
    n_anomalous, n_skipped = table.counts["anomalous"], table.counts["skipped"]
    if model.threshold_ is not None:
        counts += f", {n_anomalous} anomalous ({threshold_text(model)})"
    tell.print(counts + (f", {n_skipped} skipped" if n_skipped else "") + ".")
    if fail_on_anomaly and (n_anomalous or n_skipped):
        raise typer.Exit(FOUND_ANOMALIES)


def _is_model(word: str) -> bool:
    """Ask whether a file is one of adlib's, by how it begins."""
    with contextlib.suppress(OSError), Path(word).open("rb") as file:
        return b'"adlib"' in file.read(64)
    return False


def _ranked(results: Iterator[Inspection], by_score: bool) -> Iterator[Inspection]:
    """Return the results, on demand the most anomalous first and without their maps."""
    if not by_score:
        return results
    kept = [dataclasses.replace(result, map=None) for result in results]
    kept.sort(key=lambda one: -one.score if one.error is None else math.inf)
    return iter(kept)


class _Table:
    """The table, in a file that appears whole at the end, or on standard output.

    Nothing is written before the first row, so that a run that fails leaves nothing.

    Attributes:
        counts: How many images got each verdict.
    """

    def __init__(self, path: Path | None, threshold: float | None) -> None:
        self.counts: Counter[str] = Counter()
        self._path = path
        self._threshold = "" if threshold is None else f"{threshold:.6g}"
        self._stack = contextlib.ExitStack()
        self._file = sys.stdout
        self._escaped = False

    def __enter__(self) -> Self:
        if self._path is None and sys.stdout is None:
            raise ValueError("Standard output is closed. Pass --output FILE.")
        if self._path is not None:
            temporary = self._stack.enter_context(replacing(self._path))
            # Excel takes a file for UTF-8 only if it begins with a byte-order mark.
            self._file = self._stack.enter_context(
                temporary.open(
                    "w", newline="", encoding="utf-8-sig", errors="surrogateescape"
                )
            )
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if self._escaped and error[0] is None:
            warnings.warn(
                f"Standard output is {sys.stdout.encoding}, which lacks letters of "
                "some paths: they are escaped as in \\xfc. Set PYTHONIOENCODING=utf-8, "
                "or pass --output FILE.",
                InputWarning,
                stacklevel=2,
            )

    def add(self, result: Inspection, overlay: Path | None = None) -> None:
        """Write the row of one image."""
        if not self.counts:
            self._file.write(",".join(COLUMNS) + "\n")
        verdict = "skipped"
        if result.error is None:
            verdict = {1: "normal", -1: "anomalous", None: ""}[result.verdict]
        self.counts[verdict] += 1
        row, column = result.worst_pixel or ("", "")
        cells: list[object] = [
            _cell(result.path),
            f"{result.score:.6g}",
            verdict,
            _cell(result.error),
            self._threshold,
            row,
            column,
            _cell(overlay),
        ]
        text = "".join(map(str, cells))
        # csv leaves a carriage return bare, at which readers end the row.
        table = csv.writer(
            self._file,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if "\r" in text else csv.QUOTE_MINIMAL,
        )
        table.writerow(cells)
        self._file.flush()  # a program that reads along gets each row at once
        if self._file.errors == "backslashreplace" and not self._escaped:
            self._escaped = _lacks(self._file.encoding, text)


def _cell(text: object) -> str:
    """Return the text of a cell that spreadsheets do not read as a formula.

    Paths, with which errors begin too, mean the same after "./".
    """
    cell = "" if text is None else str(text)
    return f"./{cell}" if cell.startswith(FORMULAS) else cell


def _lacks(encoding: str, text: str) -> bool:
    """Ask whether an encoding lacks letters of a text."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return True
    return False
