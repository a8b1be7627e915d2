"""The demo: fit on functional solar cells, score others, and write a page of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from adlib._files import replacing
from adlib._typing import BoolArray, Float32Array
from adlib.datasets._elpv import CellKind, elpv_samples, split_cells
from adlib.datasets._samples import ANOMALOUS
from adlib.estimators import PatchCore
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics import compute_auroc
from adlib.overlays._overlay import BLUE, ORANGE, overlay

KINDS = ("functional", "defective")
N_SHOWN = 6  # cells with the highest scores, and as many with the lowest


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; paths, labels and scores are those of held-out cells."""

    model: PatchCore
    paths: list[str]
    defective: BoolArray  # as experts say, (n_images,)
    scores: Float32Array  # (n_images,)
    auroc: float
    most: list[int]  # positions of the most anomalous cells, most anomalous first
    least: list[int]  # positions of the least anomalous cells, least anomalous first
    maps: dict[int, Float32Array]  # of these, by position, (height, width) each
    fit_seconds: float
    score_seconds: float


def run_demo(
    model: PatchCore,
    *,
    kind: CellKind = "mono",
    say: Callable[[str], None] = lambda message: None,
) -> DemoResult:
    """Fit on functional cells and score held-out functional and defective ones.

    Cells on which the experts were unsure (probability 1/3 and 2/3) are left out.
    """
    training, held_out = split_cells(elpv_samples(kind))
    say(f"Learning {len(training)} functional {kind} cells ...")
    started = time.perf_counter()
    model.fit([cell.image_path for cell in training])
    fit_seconds = time.perf_counter() - started

    say(f"Scoring {len(held_out)} cells it has not seen ...")
    paths = [str(cell.image_path) for cell in held_out]
    started = time.perf_counter()
    scores = model.score(paths)
    score_seconds = time.perf_counter() - started

    defective = np.array([cell.label == ANOMALOUS for cell in held_out])
    order = np.argsort(scores, kind="stable").tolist()
    least, most = order[:N_SHOWN], order[::-1][:N_SHOWN]
    shown = sorted({*most, *least})
    maps = model.anomaly_maps([paths[i] for i in shown])
    return DemoResult(
        model=model,
        paths=paths,
        defective=defective,
        scores=scores,
        auroc=compute_auroc(defective, scores),
        most=most,
        least=least,
        maps=dict(zip(shown, maps, strict=True)),
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )


def write_demo_page(result: DemoResult, folder: Path) -> Path:
    """Write the demo's page and its pictures into a folder; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    # One scale for all maps: from a usual good patch to the highest.
    good = np.concatenate([result.maps[i].ravel() for i in result.least])
    high = max(float(result.maps[i].max()) for i in result.most)
    scale = float(np.quantile(good, 0.99)), high
    drawn = {"histogram": _histogram(result), "cells": _cells(result, scale)}
    for name, figure in drawn.items():
        with replacing(folder / f"{name}.png") as path:
            figure.savefig(path, dpi=180, format="png", metadata={"Software": None})
    loader = PackageLoader("adlib.overlays", package_path="")
    environment = Environment(autoescape=True, loader=loader, undefined=StrictUndefined)
    page = environment.get_template("demo.html").render(
        result=result,
        scale=scale,
        n_training=len(result.model.training_images_),
    )
    with replacing(folder / "index.html") as path:
        path.write_text(page, encoding="utf-8")
    return folder / "index.html"


def _histogram(result: DemoResult) -> Figure:
    """Draw the scores of functional and of defective cells in the same bins."""
    figure = Figure((6.7, 2.8), layout="constrained")
    axes = figure.subplots()
    scores = [result.scores[result.defective == kind] for kind in (False, True)]
    axes.hist(
        scores,
        bins=40,
        histtype="stepfilled",
        alpha=0.6,
        color=[BLUE, ORANGE],
        label=[f"{kind} ({len(of)})" for kind, of in zip(KINDS, scores, strict=True)],
    )
    axes.set(xlabel="image score (distance to the nearest good patches)")
    axes.set(ylabel="cells")
    axes.locator_params(axis="y", integer=True)
    axes.legend(frameon=False)
    return figure


def _cells(result: DemoResult, scale: tuple[float, float]) -> Figure:
    """Draw the most and the least anomalous cells, each above its map."""
    n_columns = len(result.most)
    figure = Figure((6.7, 4 * 6.7 / n_columns + 0.6), layout="constrained")
    axes = figure.subplots(4, n_columns, squeeze=False)
    for first, places in ((0, result.most), (2, result.least)):
        for column, place in enumerate(places):
            pixels = as_pixels(read_image(result.paths[place]), result.paths[place])
            laid_over = overlay(pixels, result.maps[place], *scale)
            kind = int(result.defective[place])
            title = f"{KINDS[kind]} {result.scores[place]:.1f}"
            photograph, mapped = axes[first : first + 2, column]
            photograph.set_title(title, fontsize=7.5, color=(BLUE, ORANGE)[kind])
            photograph.imshow(pixels, cmap="gray", vmin=0, vmax=1)
            mapped.imshow(laid_over)
    for ax in axes.ravel():
        ax.set_axis_off()
    return figure
