"""The command that scores images: a table, overlays and an exit code."""

from __future__ import annotations

import contextlib
import csv
import glob
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from adlib._files import replacing
from adlib.cli._console import FOUND_ANOMALIES, tell, threshold_text
from adlib.cli._options import (
    Device,
    Errors,
    ImageFolder,
    ModelFile,
    OnError,
    Precision,
    Runtime,
)

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector, Inspection


def score(
    model_file: ModelFile,
    images: ImageFolder,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="CSV file to write; else standard output."),
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option(help="Folder for heat maps laid over the images (PNG)."),
    ] = None,
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
    on_error: Errors = OnError.RAISE,
) -> None:
    """Score images: a CSV line each with path, score, verdict and error.

    Higher scores are more anomalous. The verdict is normal or anomalous, empty where
    the model has no threshold, and skipped where an image could not be used.

    Example: adlib score part.adlib camera/ -o scores.csv --overlays maps/
    """
    from adlib.estimators import load

    model = load(
        model_file,
        device=device,
        precision=None if precision is None else precision.value,
        runtime=None if runtime is None else runtime.value,
    )
    model.set_params(on_error=on_error.value)
    if overlays is not None and model.threshold_ is None:
        raise ValueError(
            "--overlays needs a model with a threshold, which sets the colour scale. "
            "Fit it with --holdout above 0, --good or --defects."
        )
    if fail_on_anomaly and model.threshold_ is None:
        raise ValueError(
            "--fail-on-anomaly needs a model with a threshold. "
            "Fit it with --holdout above 0, --good or --defects."
        )
    n_images = n_anomalous = n_skipped = 0
    with _table_file(output) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "score", "verdict", "error"])
        for result in model.inspect(images):
            n_images += 1
            verdict = _verdict(result)
            table.writerow(
                [result.path, f"{result.score:.6g}", verdict, result.error or ""]
            )
            n_anomalous += verdict == "anomalous"
            n_skipped += verdict == "skipped"
            if overlays is not None and result.map is not None:
                _write_overlay(result, images, overlays, model)
    counts = f"{n_images} images"
    if model.threshold_ is not None:
        counts += f", {n_anomalous} anomalous ({threshold_text(model)})"
    tell.print(counts + (f", {n_skipped} skipped" if n_skipped else "") + ".")
    if fail_on_anomaly and (n_anomalous or n_skipped):
        raise typer.Exit(FOUND_ANOMALIES)


def _verdict(result: Inspection) -> str:
    if result.error is not None:
        return "skipped"
    return {1: "normal", -1: "anomalous", None: ""}[result.verdict]


@contextlib.contextmanager
def _table_file(output: Path | None) -> Iterator[TextIO]:
    """Open the CSV file, which appears whole at the end, or standard output."""
    # File names need not be UTF-8; they are written back as the bytes they were.
    if output is None:
        before = sys.stdout.errors
        sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        try:
            yield sys.stdout
        finally:
            sys.stdout.reconfigure(errors=before)  # type: ignore[union-attr]
        return
    with (
        replacing(output) as temporary,
        temporary.open(
            "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file,
    ):
        yield file


def _write_overlay(
    result: Inspection, images: str, folder: Path, model: AnomalyDetector
) -> None:
    """Write an image with its map, under its path relative to the source."""
    from adlib.images import as_pixels, read_image
    from adlib.report import overlay

    path = Path(result.path)
    root = Path(images)
    while glob.has_magic(str(root)) or root.is_file():
        root = root.parent
    relative = path.relative_to(root)
    target = folder / relative.with_name(relative.name + ".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    assert result.map is not None
    assert model.threshold_ is not None
    pixels = as_pixels(read_image(path), str(path))
    drawn = overlay(pixels, result.map, 0.5 * model.threshold_, 1.5 * model.threshold_)
    with replacing(target) as temporary:
        drawn.save(temporary, format="PNG")
