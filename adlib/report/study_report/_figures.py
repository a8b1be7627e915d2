"""Figures that the report draws itself, from saved results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adlib.report._comparison_figures import (
    RatePanel,
    ScatterPoint,
    rate_panels,
    scatter_figure,
)
from adlib.report._condition_figures import FigurePoint, point_figure, result_points
from adlib.report._curve_figures import Curve, roc_curve
from adlib.report._figures import save_figure
from adlib.report._matrix_figure import Matrix, matrix_figure
from adlib.report.study_report._study import (
    ABLATIONS,
    CONDITIONS,
    EFFICIENCY,
    GLOBAL,
    SHIFT_ABLATIONS,
    Study,
)
from adlib.study import ImageScores, SavedResult, read_results, read_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = 220  # dots an inch, for print
COMPARED = {
    "image_auroc": "AUROC",
    "image_specificity": "specificity",
}


def conditions_picture(study: Study) -> Path:
    """Draw AUROC in all conditions, class by class."""
    points = result_points(_results(study), "image_auroc")
    return _save(study, "conditions", lambda: point_figure(points, "AUROC", ""))


def comparison_picture(study: Study) -> Path:
    """Draw image metrics of every model in every condition as shaded cells."""
    found = _results(study)
    matrices = []
    for metric, label in COMPARED.items():
        models = [(one.class_name, one.method) for one in found["clean"]]
        models.sort()
        values = np.full((len(models), len(found)), np.nan)
        for column, results in enumerate(found.values()):
            for one in results:
                figure = one.figure(metric)
                if figure is not None:
                    row = models.index((one.class_name, one.method))
                    values[row, column] = figure.value
        names = [f"{name}, {method}" for name, method in models]
        matrices.append(Matrix(label, names, list(found), values))
    return _save(
        study,
        "comparison",
        lambda: matrix_figure(matrices, "", form="{:.2f}", scale=(0, 1)),
    )


def scatter_picture(study: Study) -> Path | None:
    """Draw image against pixel AUROC of every model; None without masks."""
    points = []
    for condition, results in _results(study).items():
        for one in results:
            image, pixel = one.figure("image_auroc"), one.figure("pixel_auroc")
            if image is not None and pixel is not None:
                points.append(
                    ScatterPoint(one.method, condition, image.value, pixel.value)
                )
    if not points:
        return None
    return _save(
        study,
        "image_and_pixel",
        lambda: scatter_figure(points, "image AUROC", "pixel AUROC"),
    )


def roc_picture(study: Study) -> Path:
    """Draw ROC curves of clean and of shifted test images, a panel for each class."""
    stems = {"clean": "clean", "shifted": "shifted_no_adaptation"}
    found: dict[str, list[Curve]] = {}
    for condition, stem in stems.items():
        path = study.outputs / f"results/{stem}_details_scores.csv"
        for one in read_scores(path):
            curves = found.setdefault(one.class_name, [])
            curves.append(_roc(one, f"{one.method}, {condition}"))
    panels = [RatePanel(name, curves) for name, curves in found.items()]
    return _save(study, "roc", lambda: rate_panels(panels))


def ablation_picture(study: Study, method: str) -> Path:
    """Draw what each choice is worth on validation images."""
    points = [
        FigurePoint(
            row["class_name"],
            f"{row['group']}: {row['name']}" if row["name"] else row["group"],
            method,
            row["auroc"],
            row["auroc_low"],
            row["auroc_high"],
        )
        for row in study.cite.at(ABLATIONS, "rows")
        if row["method"] == method
    ]
    name = f"ablations_{method.lower()}"
    return _save(study, name, lambda: point_figure(points, "AUROC", ""))


def shift_picture(study: Study) -> Path:
    """Draw what each part of the shift costs the clean models."""
    points = [
        FigurePoint(
            row["class_name"],
            ", ".join(filter(None, (row["judged_on"], row["severity"]))),
            row["method"],
            row["auroc"],
            row["auroc_low"],
            row["auroc_high"],
        )
        for row in study.cite.at(SHIFT_ABLATIONS, "parts")
    ]
    return _save(study, "shift_parts", lambda: point_figure(points, "AUROC", ""))


def efficiency_picture(study: Study) -> Path:
    """Draw AUROC against the time for an image, by the share that is remembered."""
    points = [
        ScatterPoint(
            row["class_name"],
            row["setting"],
            row["p50_milliseconds"],
            row["auroc"],
            row["auroc_low"],
            row["auroc_high"],
        )
        for row in study.cite.at(EFFICIENCY, "trade_off")
    ]
    label = "ms an image (median)"
    return _save(
        study,
        "efficiency",
        lambda: scatter_figure(points, label, "validation AUROC", named=True),
    )


def _results(study: Study) -> dict[str, list[SavedResult]]:
    found = {name: read_results(study.outputs / f) for name, f in CONDITIONS.items()}
    if study.cite.has(GLOBAL):
        found["one model for all"] = read_results(study.outputs / GLOBAL)
    return found


def _roc(one: ImageScores, name: str) -> Curve:
    anomalous, usable = one.anomalous[one.usable], one.usable
    curve = roc_curve(anomalous, one.scores[usable])
    called = one.called[usable]
    point = (float(called[~anomalous].mean()), float(called[anomalous].mean()))
    return Curve(
        name, curve.false_positive_rates, curve.true_positive_rates, point=point
    )


def _save(study: Study, name: str, draw: Callable[[], Figure]) -> Path:
    study.pictures.mkdir(parents=True, exist_ok=True)
    path = study.pictures / f"{name}.png"
    save_figure(draw(), path, dots_per_inch=SHARP)
    return path
