"""Many models in one picture: ROC curves by class, and one figure against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from adlib.report._condition_figures import MARKERS
from adlib.report._curve_figures import Curve, thinned
from adlib.report._figures import BLACK, COLOURS, DASHES, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_WIDTH = 3.0  # inches


class RatePanel(NamedTuple):
    """ROC curves of one class.

    Attributes:
        heading: Above them.
        curves: x false-positive rates, y true-positive rates; named "method, condition"
            to share a colour by method and a line style by condition.
    """

    heading: str
    curves: Sequence[Curve]


class ScatterPoint(NamedTuple):
    """A model by two of its figures.

    Attributes:
        series: Which colour.
        mark: Which marker, or what is written beside it.
        x: The one figure.
        y: The other.
        low: Of y's interval; NaN: there is none.
        high: Likewise.
    """

    series: str
    mark: str
    x: float
    y: float
    low: float = float("nan")
    high: float = float("nan")


def rate_panels(panels: Sequence[RatePanel]) -> Figure:
    """Draw ROC curves, a panel for each class, with one legend for all.

    Args:
        panels: At least one; the legend is that of the first.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import Curve, RatePanel, rate_panels
        >>> curve = Curve("A, clean", np.array([0.0, 1.0]), np.array([0.9, 1.0]))
        >>> len(rate_panels([RatePanel("a", [curve]), RatePanel("b", [curve])]).axes)
        2
    """
    figure = new_figure(PANEL_WIDTH * len(panels), PANEL_WIDTH + 0.5)
    places = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(places, panels, strict=True):
        firsts = list(dict.fromkeys(_parted(one.name)[0] for one in panel.curves))
        seconds = list(dict.fromkeys(_parted(one.name)[1] for one in panel.curves))
        axes.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, zorder=0)
        for whole in panel.curves:
            curve, (first, second) = thinned(whole), _parted(whole.name)
            colour = COLOURS[firsts.index(first) % len(COLOURS)]
            axes.plot(
                curve.x,
                curve.y,
                color=colour,
                linestyle=DASHES[seconds.index(second) % len(DASHES)],
                linewidth=1.6,
                label=curve.name,
                clip_on=False,
            )
            if curve.point is not None:
                axes.plot(
                    *curve.point,
                    "o",
                    color=colour,
                    markeredgecolor=BLACK,
                    markersize=5,
                    clip_on=False,
                )
        axes.set_title(panel.heading, fontsize=9, loc="left")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.set_xlabel("false-positive rate", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    places[0].set_ylabel("true-positive rate", fontsize=9)
    handles, names = places[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(4, len(names)),
        frameon=False,
        fontsize=8,
    )
    return figure


def scatter_figure(
    points: Sequence[ScatterPoint], xlabel: str, ylabel: str, *, named: bool = False
) -> Figure:
    """Draw one figure of each model against another.

    Args:
        points: Models.
        xlabel: What x is.
        ylabel: What y is.
        named: Write marks beside the points, draw their intervals and join each
            series; else marks have markers, and a legend.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report import ScatterPoint, scatter_figure
        >>> points = [ScatterPoint("A", "a", 9.0, 0.9), ScatterPoint("B", "a", 20.0, 1)]
        >>> figure = scatter_figure(points, "milliseconds", "AUROC")
        >>> figure.axes[0].get_ylabel()
        'AUROC'
    """
    figure = new_figure(5.4, 3.8)
    axes = figure.subplots()
    series = list(dict.fromkeys(point.series for point in points))
    marks = list(dict.fromkeys(point.mark for point in points))
    for number, name in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        chosen = [point for point in points if point.series == name]
        if named:
            axes.plot(
                [point.x for point in chosen],
                [point.y for point in chosen],
                marker=MARKERS[number % len(MARKERS)],
                linestyle=DASHES[number % len(DASHES)],
                color=colour,
                label=name,
            )
            for point in chosen:
                ends = [point.low, point.high]
                axes.plot([point.x, point.x], ends, color=colour, lw=1, alpha=0.5)
                axes.annotate(
                    point.mark,
                    (point.x, point.y),
                    xytext=(3, 4),
                    textcoords="offset points",
                    fontsize=7,
                )
            continue
        axes.plot([], [], "s", color=colour, label=name)  # the colour's legend
        for point in chosen:
            marker = MARKERS[marks.index(point.mark) % len(MARKERS)]
            axes.plot(point.x, point.y, marker, color=colour, markersize=6)
    if not named:
        for number, mark in enumerate(marks):
            marker = MARKERS[number % len(MARKERS)]
            axes.plot([], [], marker, color="0.35", label=mark)
    if named and max(p.x for p in points) > 8 * min(p.x for p in points):
        axes.set_xscale("log")
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def _parted(name: str) -> tuple[str, str]:
    first, _, second = name.partition(", ")
    return first, second
