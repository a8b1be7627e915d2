"""Methods under several conditions: their figures, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib._typing import Float64Array
from adlib.report._figures import BLACK, BLUE, COLOURS, DASHES, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adlib.study import ImageScores, SavedResult

MARKERS = ("o", "s", "^", "D", "v", "P")


class FigurePoint(NamedTuple):
    """A figure with its interval, and where it is drawn.

    Attributes:
        panel: Which panel, e.g. the class.
        row: Which line of it, e.g. the condition.
        series: Which colour and marker, e.g. the method.
        value: The figure.
        low: Of its interval; NaN: there is none.
        high: Likewise.
    """

    panel: str
    row: str
    series: str
    value: float
    low: float = float("nan")
    high: float = float("nan")


class ScoreRow(NamedTuple):
    """Scores of one kind of images.

    Attributes:
        name: What they are of.
        scores: (n_images,).
        anomalous: Whether the images are.
    """

    name: str
    scores: Float64Array
    anomalous: bool


def result_points(
    conditions: Mapping[str, Sequence[SavedResult]], metric: str
) -> list[FigurePoint]:
    """Return the points of one figure under several conditions, class by class.

    Args:
        conditions: Results by the name of the condition.
        metric: By the name that configurations use; results without it are left out.

    Returns:
        One point a result, condition by condition; NaN bounds where it has no interval.

    Example:
        >>> from adlib.report import result_points
        >>> from adlib.study import SavedResult
        >>> result = SavedResult("A", "part", {"image": {"recall": 0.9}})
        >>> points = result_points({"clean": [result]}, "image_recall")
        >>> [(point.panel, point.row, point.series, point.value) for point in points]
        [('part', 'clean', 'A', 0.9)]
    """
    found = [
        (one, condition, one.figure(metric))
        for condition, results in conditions.items()
        for one in results
    ]
    return [
        FigurePoint(one.class_name, condition, one.method, *figure)
        for one, condition, figure in found
        if figure is not None
    ]


def point_figure(points: Sequence[FigurePoint], xlabel: str, title: str) -> Figure:
    """Draw figures with their intervals, panels side by side on one scale.

    Args:
        points: At most one for each panel, row and series, in the order to draw.
        xlabel: What the figures are.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report import FigurePoint, point_figure
        >>> points = [
        ...     FigurePoint("part", "clean", "A", 0.9, 0.8, 1.0),
        ...     FigurePoint("part", "shifted", "A", 0.7, 0.6, 0.8)]
        >>> figure = point_figure(points, "AUROC", "One method")
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['clean', 'shifted']
    """
    panels, rows, series = (
        list(dict.fromkeys(getattr(point, name) for point in points))
        for name in ("panel", "row", "series")
    )
    height = 1.25 + len(rows) * (0.14 + 0.16 * len(series))
    figure = new_figure(1.6 + 2.5 * len(panels), height)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    places = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for axes, panel in zip(places, panels, strict=True):
        for number, name in enumerate(series):
            chosen = [p for p in points if p.panel == panel and p.series == name]
            offset = 0.5 * (number - (len(series) - 1) / 2) / len(series)
            heights = np.array([rows.index(point.row) for point in chosen]) + offset
            colour = COLOURS[number % len(COLOURS)]
            for point, place in zip(chosen, heights, strict=True):
                axes.plot([point.low, point.high], [place, place], color=colour, lw=1.4)
            axes.plot(
                [point.value for point in chosen],
                heights,
                MARKERS[number % len(MARKERS)],
                color=colour,
                markersize=5,
                label=name,
            )
        axes.set_title(panel, fontsize=9, loc="left")
        axes.set_xlabel(xlabel, fontsize=9)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    places[0].set_yticks(range(len(rows)), rows, fontsize=8)
    places[0].set_ylim(len(rows) - 0.5, -0.5)
    if len(series) > 1:
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=len(series),
            frameon=False,
            fontsize=8,
        )
    return figure


def score_rows(domains: Mapping[str, ImageScores]) -> list[ScoreRow]:
    """Return the normal and the anomalous images' scores in each domain.

    Args:
        domains: Scores by the name of the domain.

    Returns:
        Two rows a domain, normal images first; skipped images are left out.

    Example:
        >>> import numpy as np
        >>> from adlib.report import score_rows
        >>> from adlib.study import ImageScores
        >>> anomalous, scores = np.array([False, True]), np.array([0.2, 0.9])
        >>> found = ImageScores(
        ...     "A", "part", ("0.png", "1.png"), ("good", "crack"), anomalous, scores,
        ...     scores > 0.5)
        >>> [(row.name, row.scores.tolist()) for row in score_rows({"clean": found})]
        [('clean, normal', [0.2]), ('clean, anomalous', [0.9])]
    """
    return [
        ScoreRow(f"{name}, {kind}", one.scores[one.usable & chosen], bad)
        for name, one in domains.items()
        for kind, chosen, bad in (
            ("normal", ~one.anomalous, False),
            ("anomalous", one.anomalous, True),
        )
    ]


def domain_figure(
    rows: Sequence[ScoreRow], thresholds: Mapping[str, float], title: str
) -> Figure:
    """Draw how scores lie in several domains, with thresholds among them.

    A box holds the middle half of the images, whiskers reach from 5 to 95 %; all others
    are dots.

    Args:
        rows: Scores, from above.
        thresholds: By name; each a line.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import ScoreRow, domain_figure
        >>> rows = [
        ...     ScoreRow("clean, normal", np.array([1.0, 2.0, 3.0]), False),
        ...     ScoreRow("clean, anomalous", np.array([3.0, 4.0, 6.0]), True)]
        >>> figure = domain_figure(rows, {"threshold": 3.5}, "One method")
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['clean, normal (3)', 'clean, anomalous (3)']
    """
    figure = new_figure(6.4, 1.2 + 0.32 * len(rows))
    figure.suptitle(title, fontsize=11, fontweight="bold")
    axes = figure.subplots()
    drawn = axes.boxplot(
        [row.scores for row in rows],
        orientation="horizontal",
        widths=0.6,
        whis=(5, 95),
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "0.4"},
        medianprops={"color": BLACK},
    )
    for box, row in zip(drawn["boxes"], rows, strict=True):
        box.set(facecolor=ORANGE if row.anomalous else BLUE, alpha=0.65)
    names = [f"{row.name} ({len(row.scores)})" for row in rows]
    axes.set_yticks(range(1, len(rows) + 1), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("image score")
    axes.spines[["top", "right"]].set_visible(False)
    for number, (name, value) in enumerate(thresholds.items()):
        dashes = DASHES[(number + 1) % len(DASHES)]
        label = f"{name}: {value:.4g}"
        axes.axvline(value, color=BLACK, linestyle=dashes, linewidth=1.2, label=label)
    figure.legend(
        loc="outside lower center", ncols=len(thresholds), frameon=False, fontsize=8
    )
    return figure
