"""The demo's page: how well cells are told apart, where the model looks, and why."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adlib._files import replacing
from adlib._typing import BoolArray, Float32Array
from adlib.report._missing import needs_report_extra
from adlib.report._pictures import Picture, picture_grid
from adlib.report._style import COLOURS, in_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adlib.study._demo import DemoResult

NAMES = ("functional", "defective")


def write_demo_page(result: DemoResult, folder: Path) -> Path:
    """Write the demo's page and its pictures into a folder.

    Args:
        result: What the demo found.
        folder: Made if it is not there.

    Returns:
        The path of the page, ``index.html``.

    Raises:
        ImportError: The extra ``report`` is not installed.
        OSError: The folder cannot be written to.
    """
    with needs_report_extra("The demo's page"):
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - optional
    histogram = _histogram(result.scores, result.defective)
    save_figure(histogram, folder / "histogram.png")
    scale = _scale(result)
    rows: dict[str, list[Picture | None]] = {}
    for kind, shown in (("most", result.most), ("least", result.least)):
        cells = [_picture(result, position) for position in shown]
        rows[f"{kind} anomalous"] = [*cells]
        rows[f"maps of the {kind}"] = [
            {"image": cell["image"], "map": result.maps[position], "scale": scale}
            for cell, position in zip(cells, shown, strict=True)
        ]
    save_figure(picture_grid(rows), folder / "cells.png")
    template = (files("adlib.report") / "templates" / "demo.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        result=result,
        scale=scale,
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


@in_style
def _histogram(scores: Float32Array, defective: BoolArray) -> Figure:
    """Draw the scores of functional and of defective cells in the same bins."""
    import seaborn as sns  # noqa: PLC0415 - optional

    figure = new_figure(2.8)
    axes = figure.subplots()
    counts = [int((~defective).sum()), int(defective.sum())]
    labels = [f"{name} ({n})" for name, n in zip(NAMES, counts, strict=True)]
    kinds = np.array(labels)[defective.astype(int)]
    sns.histplot(
        {"score": scores, "cells": kinds},
        x="score",
        hue="cells",
        hue_order=labels,
        palette=COLOURS[:2],
        bins=40,
        ax=axes,
    )
    axes.set(xlabel="image score (distance to the nearest good patches)")
    axes.locator_params(axis="y", integer=True)
    return figure


def _scale(result: DemoResult) -> tuple[float, float]:
    """Return one scale for all maps: from a usual good patch to the highest."""
    good = np.concatenate([result.maps[i].ravel() for i in result.least])
    high = max(float(result.maps[i].max()) for i in result.most)
    return float(np.quantile(good, 0.99)), high


def _picture(result: DemoResult, position: int) -> Picture:
    kind = NAMES[int(result.defective[position])]
    title = f"{kind} {result.scores[position]:.1f}"
    return {"image": result.paths[position], "title": title}


def _row(result: DemoResult, position: int) -> dict[str, str]:
    """Return what the page's table says about one cell."""
    explanation = result.explanations[position]
    return {
        "name": Path(result.paths[position]).name,
        "kind": NAMES[int(result.defective[position])],
        "score": f"{result.scores[position]:.2f}",
        "patch": f"row {explanation.patch[0]}, column {explanation.patch[1]}",
        "distance": f"{explanation.distance:.2f}",
        "compared": Path(explanation.compared_with).name,
        "compared_patch": "row {}, column {}".format(*explanation.compared_patch),
    }
