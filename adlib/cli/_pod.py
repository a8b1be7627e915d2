"""The command that says what can be found: POD curves of a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from adlib._files import replacing
from adlib.cli._console import Device, ImagePlaces, ModelFile, is_exported, show, tell

if TYPE_CHECKING:
    from adlib.metrics import PodCurve
    from adlib.pod import PodReport

ABOUT = (
    "Synthetic defects are not your real ones: compare settings by these sizes, and "
    "confirm them on real defects."
)


def pod(
    model_file: ModelFile,
    images: ImagePlaces,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for pod.json and pod.png.")
    ] = Path("adlib-pod"),
    defects: Annotated[
        int, typer.Option(min=10, help="How many of each kind and contrast.")
    ] = 60,
    sizes: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Smallest and largest size in pixels of the images. Default: 2 and a "
            "quarter of the smallest image's shorter side.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        Path | None,
        typer.Option(
            help="Mask of where defects may be, as large as the images. Default: "
            "the model's region, or everywhere but on an empty background.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """State which size of defect a model finds, by the probability of detection (POD).

    Draws scratches, spots, stains and textures of many sizes and three contrasts on
    good IMAGES, those that fit did not learn from, and scores them. a90/95 is the size
    found with 90 % probability at 95 % confidence, at the model's threshold.

    Example: adlib pod part.adlib parts/good
    """
    import adlib.overlays  # noqa: F401 - refuses a missing extra before the long work
    from adlib.cli._fit import _paths
    from adlib.datasets import read_mask
    from adlib.estimators import load
    from adlib.overlays._pod import draw_pod
    from adlib.pod import measure_pod

    if is_exported(model_file):
        raise ValueError("`adlib pod` needs the model file, not an exported one.")
    model = load(model_file, device=device)
    output.mkdir(parents=True, exist_ok=True)  # before the long work
    report = measure_pod(
        model,
        _paths(images, "IMAGES"),
        n_defects=defects,
        sizes=sizes,
        region=None if region is None else read_mask(region),
        random_state=seed,
    )
    write_json(report.as_dict(), output / "pod.json")
    draw_pod(report, output / "pod.png")
    show.print(_table(report))
    for line in _told(report):
        show.print(f" {line}", soft_wrap=True)
    show.print(f" {output / 'pod.json'}, {output / 'pod.png'}", soft_wrap=True)
    tell.print(ABOUT)


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write values to a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def size_text(size: float, curve: PodCurve) -> str:
    """Return a size as the table shows it, which was tested from some size to some."""
    if math.isinf(size):
        return f"not up to {curve.sizes.max():.3g}"
    return f"{'<= ' if size <= curve.sizes.min() else ''}{size:.3g}"


def _table(report: PodReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("defect")
    for title in ("contrast", "found", "a50 (px)", "a90 (px)", "a90/95 (px)"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in report.rows:
        curve = row.curve
        sizes = (curve.a50, curve.a90, curve.a90_95)
        table.add_row(
            row.kind,
            f"{row.contrast:g}",
            f"{curve.found.sum()} of {len(curve.found)}",
            *(size_text(size, curve) for size in sizes),
        )
    return table


def _told(report: PodReport) -> list[str]:
    """Return what holds for all curves, a line each."""
    rate = report.false_positive_rate
    promised = "" if rate is None else f", set for {100 * rate:.3g} % false alarms"
    height, width = report.image_size
    learned = report.n_learned
    return [
        f"threshold {report.threshold:.6g}{promised}; "
        f"{report.n_false_alarms} of {report.n_good} good images score above it",
        f"{report.n_good - report.n_false_alarms} good images drawn on"
        + (f"; {learned} that fit learned from left out" if learned else ""),
        f"{report.milliseconds:.1f} ms an image, resized to {height}x{width}",
    ]
