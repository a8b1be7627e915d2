"""Curves are drawn where they lie, thinned without moving, and told apart."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.report import Curve, precision_recall_figure, pro_figure, roc_figure
from adlib.report._curve_figures import MOST_POINTS, roc_curve, thinned


def curves(n):
    rng = np.random.default_rng(0)
    for number in range(n):
        y = np.repeat([0, 1], 30)
        curve = roc_curve(y, rng.normal(y))
        x, y = curve.false_positive_rates, curve.true_positive_rates
        yield Curve(f"method {number}", x, y, "0.9", (0.2, 0.6))


def test_curves_marks_and_legends_are_drawn():
    drawn = list(curves(3))
    figure = roc_figure(drawn, "screw: ROC")
    [axes] = figure.axes
    lines = [line for line in axes.lines if line.get_label().startswith("method")]
    for line, curve in zip(lines, drawn, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), curve.x)
        np.testing.assert_array_equal(line.get_ydata(), curve.y)
        assert line.get_label() == f"{curve.name}  0.9"
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 3
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(*p.get_xdata(), *p.get_ydata()) for p in points] == [(0.2, 0.6)] * 3
    assert axes.get_legend().get_title().get_text() == "AUROC"


def test_precision_is_drawn_as_steps_over_the_baseline():
    figure = precision_recall_figure(list(curves(1)), "screw", 0.3)
    [axes] = figure.axes
    baseline, curve = axes.lines[0], axes.lines[1]
    assert list(baseline.get_ydata()) == [0.3, 0.3]
    assert curve.get_drawstyle() == "steps-pre"


def test_overlap_is_cut_at_the_limit_by_interpolation():
    curve = Curve("one", np.array([0.0, 0.2, 0.4, 1.0]), np.array([0.0, 0.5, 0.7, 1.0]))
    [axes] = pro_figure([curve], "screw", 0.3).axes
    [line] = axes.lines
    np.testing.assert_allclose(line.get_xdata(), [0.0, 0.2, 0.3])
    np.testing.assert_allclose(line.get_ydata(), [0.0, 0.5, 0.6])
    assert axes.get_xlim() == (0, 0.3)


@pytest.mark.parametrize("shape", ["smooth", "steep"])
def test_long_curves_are_thinned_to_points_of_their_own(shape):
    x = np.linspace(0, 1, 300_000)
    y = np.sqrt(x) if shape == "smooth" else np.minimum(1, x * 1e4)
    short = thinned(Curve("long", x, y))
    assert len(short.x) <= MOST_POINTS + 1
    assert (short.x[0], short.x[-1]) == (0, 1)
    assert set(short.x) <= set(x)
    # Between its points the thinned curve stays where the long one is.
    assert np.abs(np.interp(x, short.x, short.y) - y).max() < 2e-3
    assert thinned(short) is short or len(short.x) > MOST_POINTS
