"""The demo: fit on functional solar cells, score others, and draw some of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from adlib._files import replacing
from adlib._html import BLUE, ORANGE
from adlib._inspection import Inspection
from adlib._typing import BoolArray, Float32Array
from adlib.datasets._elpv import CellKind, elpv_samples, split_cells
from adlib.datasets._samples import ANOMALOUS
from adlib.estimators import PatchCore
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics import compute_auroc
from adlib.overlays._overlay import overlay

KINDS = ("functional", "defective")
N_SHOWN = 6  # cells with the highest scores, and as many with the lowest


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; paths, labels and scores are those of held-out cells."""

    model: PatchCore
    paths: list[str]
    defective: BoolArray  # as experts say, (n_images,)
    scores: Float32Array  # (n_images,)
    inspections: list[Inspection]  # without maps
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
    found = [replace(one, map=None, zones=None) for one in model.inspect(paths)]
    score_seconds = time.perf_counter() - started

    scores = np.array([one.score for one in found], np.float32)
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
        inspections=found,
        auroc=compute_auroc(defective, scores),
        most=most,
        least=least,
        maps=dict(zip(shown, maps, strict=True)),
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )


def draw_cells(result: DemoResult, path: Path) -> None:
    """Write a picture of the most and the least anomalous cells with their maps."""
    # One scale for all maps: from a usual good patch to the highest.
    good = np.concatenate([result.maps[i].ravel() for i in result.least])
    high = max(float(result.maps[i].max()) for i in result.most)
    figure = _cells(result, (float(np.quantile(good, 0.99)), high))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=180, format="png", metadata={"Software": None})


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
