"""The command that runs the demonstration on solar cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from adlib.cli._console import Device, show, tell

RATE = 0.05  # of functional cells that may be predicted anomalous


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the page.")
    ] = Path("adlib-demo"),
    kind: Annotated[
        Literal["mono", "poly"], typer.Option(help="Kind of solar cells.")
    ] = "mono",
    device: Device = "auto",
    serve: Annotated[
        bool, typer.Option("--serve", help="Then show it as `adlib review` does.")
    ] = False,
) -> None:
    """Learn functional solar cells, find the defective ones, and write a page.

    Real photographs from the package elpv-dataset; nothing is downloaded. Takes a
    few minutes. The folder gets the page of the worst cells (index.html), a
    picture of some, the model, and the results database that --serve shows.

    Example: adlib demo
    """
    import adlib.report  # noqa: F401 - refuses a missing extra before the long work
    from adlib.cli._review import show_page
    from adlib.estimators import PatchCore
    from adlib.overlays._demo import draw_cells, run_demo
    from adlib.serve._demo import write_demo

    model = PatchCore(false_positive_rate=RATE, device=device)
    result = run_demo(model, kind=kind, say=tell.print)
    database, page = write_demo(result, output)
    draw_cells(result, output / "cells.png")
    n_training, n_images = len(result.model.training_images_), len(result.paths)
    fitted, scored = result.fit_seconds, result.score_seconds
    each = f"{1000 * scored / n_images:.0f} ms each"
    table = Table(show_header=False, box=None)
    table.add_row("image AUROC", f"{result.auroc:.4f}")
    table.add_row("learning", f"{fitted:.1f} s, {n_training} cells")
    table.add_row("scoring", f"{scored:.1f} s, {n_images} cells, {each}")
    show.print(table)
    show.print(f" page: {page.resolve()}", soft_wrap=True)
    if serve:
        show_page(database)
