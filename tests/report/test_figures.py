"""Figures show the rows that they are given, in letters that print legibly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import roc_auc_score

from adlib.report._figures import (
    confusion_figure,
    curve_figure,
    matrix_figure,
    metric_figure,
    save_figure,
    scatter_figure,
    score_figure,
)
from adlib.report._pictures import picture_grid

CLASSES, METHODS, CONDITIONS = ("bolt", "nut"), ("PatchCore", "PaDiM"), ("clean", "new")


@pytest.fixture(scope="module")
def figures():
    rows = []
    keys = itertools.product(CONDITIONS, METHODS, CLASSES, ("auroc", "pixel_auroc"))
    for number, key in enumerate(keys):
        value = 0.5 + number / 40
        rows.append((*key, value, value - 0.1, value + 0.05))
    columns = ["condition", "method", "class", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    rows = []
    keys = itertools.product(CONDITIONS, METHODS, CLASSES, ("val", "test"), range(20))
    for condition, method, name, split, image in keys:
        score = rng.normal() + image % 2
        verdict = -1 if score > 0.5 else 1
        key = (condition, method, name, split, f"{image}.png", image % 2, "hole")
        rows.append((*key, score, 0.5, verdict))
    columns = "condition method class split image label defect_type score threshold"
    return pd.DataFrame(rows, columns=[*columns.split(), "verdict"])


def all_figures(figures, scores):
    clean = figures[figures["condition"] == "clean"]
    wide = clean.pivot(index=["class", "method"], columns="metric", values="value")
    axes = {"index": "class", "columns": "condition", "panels": "method"}
    now = scores[scores["condition"] == "clean"]
    return [
        metric_figure(clean, "auroc", "Title"),
        metric_figure(clean, ["auroc", "pixel_auroc"], kind="bar"),
        score_figure(scores, "Title"),
        curve_figure(scores, "roc"),
        curve_figure(now, "pr"),
        confusion_figure(now),
        matrix_figure(figures, "auroc", **axes),
        scatter_figure(wide.reset_index(), "pixel_auroc", "auroc", style="class"),
    ]


@pytest.mark.slow
def test_every_figure_prints_at_its_size_in_legible_letters(figures, scores, tmp_path):
    for number, figure in enumerate(all_figures(figures, scores)):
        path = tmp_path / "new" / f"{number}.png"
        save_figure(figure, path)
        with Image.open(path) as image:
            assert image.width / image.info["dpi"][0] <= 6.71
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert texts
        assert min(text.get_fontsize() for text in texts) >= 7


@pytest.mark.slow
def test_a_figure_drawn_again_has_the_same_bytes(figures, scores, tmp_path):
    for figure in (score_figure(scores), score_figure(scores)):
        save_figure(figure, tmp_path / f"{id(figure)}.png")
    first, second = (path.read_bytes() for path in tmp_path.iterdir())
    assert first == second


@pytest.mark.parametrize("kind", ["point", "bar"])
def test_values_and_intervals_are_those_of_the_rows(figures, kind):
    rows = figures[figures["condition"] == "clean"].query("metric == 'auroc'")
    axes = metric_figure(rows, "auroc", kind=kind).axes[0]
    if kind == "bar":
        drawn = [bar.get_height() for bar in axes.patches if bar.get_height()]
    else:
        dots = [line for line in axes.get_lines() if line.get_marker() in "os"]
        lines = [line.get_xdata() for line in dots]
        drawn = [value for line in lines for value in np.atleast_1d(line)]
    np.testing.assert_allclose(sorted(drawn)[:4], sorted(rows["value"]))
    along = "get_ydata" if kind == "bar" else "get_xdata"
    ends = [getattr(line, along)() for line in axes.lines]
    spans = {(round(min(of), 6), round(max(of), 6)) for of in ends if len(of) == 2}
    wanted = rows[["low", "high"]].round(6).itertuples(index=False, name=None)
    assert set(wanted) <= spans


def test_a_value_beside_its_interval_is_still_drawn_where_it_is(figures):
    rows = figures.iloc[[0]].assign(value=0.9, low=0.5, high=0.8)
    (axes,) = metric_figure(rows, rows["metric"].iloc[0]).axes
    assert any(0.9 in np.atleast_1d(line.get_xdata()) for line in axes.get_lines())


def test_two_rows_for_one_point_and_an_unknown_metric_are_refused(figures):
    with pytest.raises(ValueError, match="one row for each class, method, metric"):
        metric_figure(figures, "auroc")
    with pytest.raises(ValueError, match="pixel_auroc"):
        matrix_figure(figures, "f1", index="class", columns="condition")


def test_curves_are_those_of_the_test_images_alone(scores):
    now = scores.query("condition == 'clean'")
    figure = curve_figure(now, "roc")
    test = now.query("split == 'test' and method == 'PaDiM' and `class` == 'nut'")
    area = roc_auc_score(test["label"], test["score"])
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert texts[1] == f"PaDiM (AUC = {area:.2f})"
    lines = figure.axes[1].get_lines()
    _, dot = [line for line in lines if line.get_marker() == "o"]
    called = test["verdict"] < 0
    rates = [called[test["label"] == label].mean() for label in (0, 1)]
    np.testing.assert_allclose([dot.get_xdata()[0], dot.get_ydata()[0]], rates)


def test_confusion_counts_verdicts(scores):
    now = scores.query("condition == 'clean'")
    figure = confusion_figure(now)
    test = now.query("split == 'test' and method == 'PatchCore' and `class` == 'bolt'")
    counts = pd.crosstab(test["label"], test["verdict"] < 0).to_numpy().ravel()
    titles = [axes.get_title() for axes in figure.axes]
    texts = figure.axes[titles.index("bolt, PatchCore")].texts
    assert [int(text.get_text()) for text in texts] == counts.tolist()


def test_a_matrix_has_each_value_in_its_cell(figures):
    figure = matrix_figure(
        figures, "auroc", index="class", columns="condition", panels="method"
    )
    table = figures.query("metric == 'auroc' and method == 'PaDiM'")
    wanted = table.pivot(index="class", columns="condition", values="value")
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts == [f"{value:.3f}" for value in wanted.to_numpy().ravel()]


def test_methods_keep_their_colours_in_any_order(figures):
    wide = figures.query("condition == 'clean'").pivot(
        index=["class", "method"], columns="metric", values="value"
    )
    handles = []
    for table in (wide.reset_index(), wide.reset_index()[::-1]):
        figure = scatter_figure(table, "pixel_auroc", "auroc")
        (legend,) = figure.legends
        labels = [text.get_text() for text in legend.get_texts()]
        colours = [tuple(h.get_color()) for h in legend.legend_handles if h is not None]
        handles.append(dict(zip(labels, colours, strict=True)))
    assert handles[0] == handles[1]


def test_pictures_show_image_mask_map_and_frame(tmp_path):
    pixels = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    Image.fromarray(np.uint8(255 * pixels)).save(tmp_path / "0.png")
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    hot = np.zeros((8, 8), np.float32)
    hot[2, 2] = 1.0
    frame = ((2, 2), (8, 8))
    row = [
        {"image": tmp_path / "0.png", "mask": mask, "title": "a very long title" * 4},
        {"image": pixels, "map": hot},
        {"image": pixels, "frame": frame, "zoom": True},
    ]
    masked, mapped, zoomed = picture_grid({"part": row}).axes
    assert len(masked.get_title()) < 40
    assert masked.collections  # the outline
    shown = np.asarray(mapped.get_images()[0].get_array())
    assert shown.shape == (320, 320, 3)
    assert not np.array_equal(shown[90:110, 90:110, 0], shown[90:110, 90:110, 2])
    assert zoomed.get_xlim()[1] - zoomed.get_xlim()[0] == 5 * 320 / 8
