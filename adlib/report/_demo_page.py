"""The demo's page: how well cells are told apart, where the model looks, and why."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adlib._files import replacing
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.report._figures import (
    Panel,
    inspection_grid,
    save_figure,
    score_histogram,
)
from adlib.report._missing import needs_report_extra
from adlib.report._overlay import overlay

if TYPE_CHECKING:
    from adlib.study import DemoResult


def write_demo_page(result: DemoResult, folder: Path) -> Path:
    """Write the demo's page and its pictures into a folder.

    Args:
        result: What ``adlib.study.run_demo`` found.
        folder: Made if it is not there.

    Returns:
        The path of the page, ``index.html``.

    Raises:
        ImportError: The extra ``report`` is not installed.
        OSError: The folder cannot be written to.
    """
    with needs_report_extra("The demo's page"):
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - optional
    folder.mkdir(parents=True, exist_ok=True)
    names = ("functional", "defective")
    histogram = score_histogram(result.scores, result.defective, names)
    with replacing(folder / "histogram.png") as path:
        save_figure(histogram, path)
    scale = _scale(result)
    rows = [
        ("Most anomalous", [_panel(result, i, scale) for i in result.most]),
        ("Least anomalous", [_panel(result, i, scale) for i in result.least]),
    ]
    with replacing(folder / "cells.png") as path:
        save_figure(inspection_grid(rows, scale), path)
    template = (files("adlib.report") / "templates" / "demo.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        result=result,
        n_held_out=len(result.paths),
        n_defective=int(result.defective.sum()),
        n_bank=len(result.model.memory_bank_),
        milliseconds=1000 * result.score_seconds / len(result.paths),
        most=[_row(result, i) for i in result.most],
        least=[_row(result, i) for i in result.least],
    )
    with replacing(folder / "index.html") as path:
        path.write_text(page, encoding="utf-8")
    return folder / "index.html"


def _scale(result: DemoResult) -> tuple[float, float]:
    """Return one scale for all maps: from a usual good patch to the strangest."""
    good = np.concatenate([result.maps[i].ravel() for i in result.least])
    high = max(float(result.maps[i].max()) for i in result.most)
    return float(np.quantile(good, 0.99)), high


def _panel(result: DemoResult, position: int, scale: tuple[float, float]) -> Panel:
    path = Path(result.paths[position])
    pixels = as_pixels(read_image(path), str(path))
    defective = bool(result.defective[position])
    kind = "defective" if defective else "functional"
    drawn = overlay(pixels, result.maps[position], *scale)
    return Panel(pixels, drawn, f"{kind}\n{result.scores[position]:.1f}", defective)


def _row(result: DemoResult, position: int) -> dict[str, str]:
    """Return what the page's table says about one cell."""
    explanation = result.explanations[position]
    return {
        "name": Path(result.paths[position]).name,
        "kind": "defective" if result.defective[position] else "functional",
        "score": f"{result.scores[position]:.2f}",
        "patch": f"row {explanation.patch[0]}, column {explanation.patch[1]}",
        "distance": f"{explanation.distance:.2f}",
        "compared": Path(explanation.compared_with).name,
        "compared_patch": "row {}, column {}".format(*explanation.compared_patch),
    }
