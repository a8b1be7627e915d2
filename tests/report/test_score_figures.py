"""Scores, groups, confusion and reliability are drawn as they are."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.metrics._image_metrics import Confusion
from adlib.report import (
    GroupRow,
    breakdown_figure,
    confusion_figure,
    reliability_figure,
    save_figure,
    score_figure,
)


@pytest.mark.parametrize(
    "scores",
    [[1.0, 2.0, 3.0, 9.0], [5.0] * 4, [0.0, 0.0, 0.0, 1e6]],
    ids=["usual", "equal", "outlier"],
)
def test_every_image_is_in_a_bin_of_its_kind(scores, tmp_path):
    anomalous = np.array([False, False, True, True])
    figure = score_figure(np.array(scores), anomalous, {"F1": 2.5, "rate": 4.0}, "t")
    [axes] = figure.axes
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == [2, 2]
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert lines == {"F1: 2.5": [2.5, 2.5], "rate: 4": [4.0, 4.0]}
    assert len({line.get_linestyle() for line in axes.lines}) == 2
    save_figure(figure, tmp_path / "scores.png")


def test_cells_say_counts_and_shares_and_can_be_read():
    tables = {"a": Confusion(9, 1, 5, 5), "b": Confusion(0, 0, 0, 4)}
    figure = confusion_figure(tables, "t")
    first, second = figure.axes
    texts = [text.get_text() for text in first.texts]
    assert texts == ["9\n90.0 %", "1\n10.0 %", "5\n50.0 %", "5\n50.0 %"]
    assert second.texts[0].get_text() == "0\n0.0 %"
    for axes in figure.axes:
        [image] = axes.images
        assert image.get_clim() == (0, 1)
        for text, share in zip(axes.texts, image.get_array().ravel(), strict=True):
            shade = np.mean(image.cmap(share)[:3])
            assert (text.get_color() == "white") == (shade < 0.5) or 0.4 < shade < 0.7


def test_groups_have_dots_and_intervals():
    rows = [GroupRow("hole", 0.5, 0.2, 0.8, 4), GroupRow("cut", 1.0, np.nan, np.nan, 2)]
    figure = breakdown_figure({"types": rows, "sizes": []}, "recall", "t")
    [axes] = figure.axes  # a heading without rows has no panel
    drawn = {"o": [], "None": []}
    for line in axes.lines:
        drawn[line.get_marker()].append(list(line.get_xdata()))
    assert drawn == {"o": [[0.5], [1.0]], "None": [[0.2, 0.8]]}
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["hole (4)", "cut (2)"]


def test_reliability_shows_bins_and_their_counts():
    predicted, observed = np.array([0.2, 0.7]), np.array([0.1, 0.9])
    figure = reliability_figure(predicted, observed, np.array([3, 5]), "t", "error 0.1")
    upper, lower = figure.axes
    curve = upper.lines[1]
    np.testing.assert_array_equal(curve.get_xdata(), predicted)
    np.testing.assert_array_equal(curve.get_ydata(), observed)
    assert [bar.get_height() for bar in lower.patches] == [3, 5]
    assert upper.texts[0].get_text() == "error 0.1"
