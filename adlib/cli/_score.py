"""The command that scores images: a table, heat maps and an exit code."""

from __future__ import annotations

import csv
import dataclasses
import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeAlias

import typer

from adlib._cells import number_cell, text_cell
from adlib._files import replacing
from adlib.cli._console import (
    FOUND_ANOMALIES,
    Device,
    Errors,
    ImagePlaces,
    ModelFile,
    Precision,
    file_to_write,
    is_exported,
    tell,
)
from adlib.cli._regions import Note, regions_file
from adlib.exceptions import InputWarning, ModelFileError

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector, Inspection
    from adlib.runtime import ExportedModel

# "onnxruntime" is for exported files alone.
AnyRuntime: TypeAlias = Literal["torch", "openvino", "onnxruntime"]
PrecisionOfModel = Annotated[
    Precision | None,
    typer.Option(help="What the backbone computes in. Default: as in fit."),
]
RuntimeOfModel = Annotated[
    AnyRuntime | None,
    typer.Option(
        help="What runs the backbone. Default: as in fit. Or an exported file: "
        "onnxruntime (the default) or openvino."
    ),
]
COLUMNS = ["path", "score", "verdict", "error"]
COLUMNS += ["threshold", "worst_row_px", "worst_column_px", "overlay"]
COLUMNS += ["decision", "p_value", "threshold_ratio"]


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
    regions: Annotated[
        str | None,
        typer.Option(
            help="File for the connected areas above the pixel threshold of each "
            "image, .json (with outlines) or .csv."
        ),
    ] = None,
    mm_per_pixel: Annotated[
        float | None,
        typer.Option(help="Side of a pixel in millimetres, for --regions."),
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
            "--fail-on-anomaly",
            help="Exit with 3 if any is anomalous or skipped; those to review do not "
            "count.",
        ),
    ] = False,
    device: Device = "auto",
    precision: PrecisionOfModel = None,
    runtime: RuntimeOfModel = None,
    on_error: Errors = "raise",
) -> None:
    """Score images: a CSV row each, with path, score, verdict and more.

    Higher scores are more anomalous. The verdict is normal or anomalous, empty where
    the model has no threshold, and skipped where an image could not be used. The
    position is the centre of the patch with the highest score, in pixels from the top
    left. The decision is PASS, FAIL, or with --review-rate of fit REVIEW; a skipped
    image never passes. The p-value is the share of good images that score as high, of
    those that set the threshold; threshold_ratio is the score over the threshold.

    Example: adlib score part.adlib camera/ -o scores.csv --overlays maps/
    """
    table_file = _table_file(output, model_file, overlays)
    if mm_per_pixel is not None and not mm_per_pixel > 0:
        raise ValueError(f"--mm-per-pixel must be above 0; got {mm_per_pixel}.")
    if regions is not None and is_exported(model_file):
        raise ValueError("--regions needs the model file; an exported one has none.")
    try:
        model = load_any(model_file, device, precision, runtime)
    except (FileNotFoundError, ModelFileError):
        _check_order(model_file, images)
        raise
    model.on_error = on_error
    needing = [("--overlays", overlays is not None), ("--regions", regions is not None)]
    needing += [("--fail-on-anomaly", fail_on_anomaly)]
    typed = [option for option, given in needing if given]
    if typed and model.threshold_ is None:
        raise ValueError(
            f"{typed[0]} needs a model with a threshold. "
            "Fit it with --holdout above 0, --good or --defects."
        )
    if regions is not None and model.pixel_threshold_ is None:
        raise ValueError(
            "--regions needs a model with a pixel threshold: fit it again."
        )
    places = images if len(images) > 1 else images[0]
    with ExitStack() as files:
        file = files.enter_context(_opened(table_file))
        table = _Table(file, model.threshold_)
        if regions is not None:
            table.note = files.enter_context(regions_file(regions, mm_per_pixel))
        if overlays is not None:
            from adlib.overlays import save_overlays

            save_overlays(model, places, overlays, by_score=by_score, each=table.add)
        else:
            results = model.inspect(places)
            for result in _most_anomalous_first(results) if by_score else results:
                table.add(result)
    if table.escaped:
        warnings.warn(
            f"Standard output is {file.encoding}, which lacks letters of some paths: "
            "they are escaped as in \\xfc. Set PYTHONIOENCODING=utf-8, or pass "
            "--output FILE.",
            InputWarning,
            stacklevel=2,
        )
    tell.print(_summary(table.counts, model))
    if fail_on_anomaly and (table.counts["anomalous"] or table.counts["skipped"]):
        raise typer.Exit(FOUND_ANOMALIES)


def _summary(counts: Counter[str], model: AnomalyDetector | ExportedModel) -> str:
    """Say how many images there were, and how many of them did not pass."""
    text = f"{counts.total() - counts['REVIEW']} images"
    if model.threshold_ is not None:
        text += f", {counts['anomalous']} anomalous (threshold {model.threshold_:.6g})"
    if model.review_threshold_ is not None:
        limit = model.review_threshold_
        text += f", {counts['REVIEW']} to review (above {limit:.6g})"
    return text + (f", {counts['skipped']} skipped." if counts["skipped"] else ".")


def _table_file(
    output: str | None, model_file: Path, overlays: Path | None
) -> Path | None:
    """Return where the table goes, None for standard output, or raise."""
    if output is None or output == "-":
        return None
    file = file_to_write(output, "scores.csv")
    if file.exists() and file.samefile(model_file):
        raise ValueError("--output must be another file than the model.")
    if overlays is not None and file.absolute() == overlays.absolute():
        raise ValueError("--output must be a file, and --overlays another folder.")
    return file


def load_any(
    file: Path, device: str, precision: Precision | None, runtime: AnyRuntime | None
) -> AnomalyDetector | ExportedModel:
    """Load a model file, or a file that was exported from one."""
    if is_exported(file):
        from adlib import runtime as exported

        if precision is not None:
            rule = "left out for an exported file, which has one"
            raise ValueError(f"--precision must be {rule}; got {precision!r}.")
        named: Any = {} if runtime is None else {"runtime": runtime}
        named |= {} if device == "auto" else {"device": device}
        return exported.load(file, **named)
    from adlib.estimators import load

    named = {"device": device, "precision": precision, "runtime": runtime}
    return load(file, **named)


def _check_order(first: Path, others: list[str]) -> None:
    """Raise if one of the others is a model of adlib's, by how the file begins."""
    for word in others:
        with suppress(OSError), Path(word).open("rb") as file:
            if b'"adlib"' in file.read(64):
                rule = "The model file comes before the images"
                raise ValueError(f"{rule}: adlib score {word} {first}")


def _most_anomalous_first(results: Iterator[Inspection]) -> list[Inspection]:
    """Return the results in order of their scores, without their maps."""
    kept = [dataclasses.replace(result, map=None, zones=None) for result in results]
    return sorted(kept, key=lambda one: -one.score if one.error is None else math.inf)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Give a file that appears whole at the end, or standard output."""
    if path is None and sys.stdout is None:
        raise ValueError("Standard output is closed. Pass --output FILE.")
    if path is None:
        yield sys.stdout
        return
    # Excel takes a file for UTF-8 only if it begins with a byte-order mark.
    coding = "utf-8-sig"
    with (
        replacing(path) as new,
        new.open("w", newline="", encoding=coding, errors="surrogateescape") as file,
    ):
        yield file


class _Table:
    """The table. A run that fails before the first row writes nothing."""

    def __init__(self, file: TextIO, threshold: float | None) -> None:
        self.counts: Counter[str] = Counter()  # of each verdict, and to be reviewed
        self.note: Note | None = None  # what is told of each image, too
        self.escaped = False  # whether the output's encoding lacked letters
        self._file = file
        self._threshold = "" if threshold is None else f"{threshold:.6g}"

    def add(self, result: Inspection, overlay: Path | None = None) -> None:
        """Write the row of one image."""
        if self.note is not None:
            self.note(result)
        if not self.counts:
            self._file.write(",".join(COLUMNS) + "\n")
        verdict = "skipped"
        if result.error is None:
            verdict = {1: "normal", -1: "anomalous", None: ""}[result.verdict]
        self.counts[verdict] += 1
        self.counts["REVIEW"] += result.decision == "REVIEW" and not result.error
        cells = [
            text_cell(result.path),
            f"{result.score:.6g}",
            verdict,
            text_cell(result.error),
            self._threshold,
            *map(str, result.worst_pixel or ("", "")),
            text_cell(overlay),
            result.decision or "",
            *map(number_cell, (result.p_value, result.threshold_ratio)),
        ]
        text = "".join(cells)
        # csv leaves a carriage return bare, at which readers end the row.
        csv.writer(
            self._file,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if "\r" in text else csv.QUOTE_MINIMAL,
        ).writerow(cells)
        self._file.flush()  # a program that reads along gets each row at once
        if self._file.errors == "backslashreplace":
            encoding = self._file.encoding
            kept = text.encode(encoding, "ignore").decode(encoding)
            self.escaped = self.escaped or kept != text
