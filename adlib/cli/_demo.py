"""The command that runs the demonstration on solar cells."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from adlib.cli._console import Device, show, tell


class CellKind(StrEnum):
    """Which solar cells the demo takes."""

    MONO = "mono"
    POLY = "poly"


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the page.")
    ] = Path("adlib-demo"),
    kind: Annotated[
        CellKind, typer.Option(help="Kind of solar cells.")
    ] = CellKind.MONO,
    device: Device = "auto",
) -> None:
    """Learn functional solar cells, find the defective ones, and write a page.

    Real photographs from the package elpv-dataset; nothing is downloaded. Takes about
    a minute on two cores.

    Example: adlib demo
    """
    import adlib.report  # noqa: F401 - refuses a missing extra before the long work
    from adlib.estimators import PatchCore
    from adlib.overlays._demo import run_demo, write_demo_page

    result = run_demo(PatchCore(device=device), kind=kind.value, say=tell.print)
    page = write_demo_page(result, output)
    n_images = len(result.paths)
    table = Table(show_header=False, box=None)
    table.add_row("image AUROC", f"{result.auroc:.4f}")
    table.add_row("learning", f"{result.fit_seconds:.1f} s, {result.n_training} cells")
    per_image = 1000 * result.score_seconds / n_images
    table.add_row(
        "scoring",
        f"{result.score_seconds:.1f} s, {n_images} cells, {per_image:.0f} ms each",
    )
    show.print(table)
    show.print(f" page: {page.resolve()}", soft_wrap=True, markup=False)
