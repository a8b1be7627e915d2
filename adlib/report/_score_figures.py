"""Image scores: how they are spread, by group, and as probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib.report._figures import (
    BLACK,
    BLUE,
    DASHES,
    ORANGE,
    new_figure,
    score_histogram,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GroupRow(NamedTuple):
    """A figure of one group of images, with its interval.

    Attributes:
        name: Of the group.
        value: The figure, in [0, 1].
        low: Of its interval; NaN: there is none.
        high: Likewise.
        n_images: In the group.
    """

    name: str
    value: float
    low: float
    high: float
    n_images: int


def score_figure(
    scores: Float64Array,
    anomalous: BoolArray,
    thresholds: Mapping[str, float],
    title: str,
) -> Figure:
    """Draw the scores of normal and anomalous images, and thresholds among them.

    Args:
        scores: (n_images,), higher = more anomalous.
        anomalous: (n_images,), True anomalous.
        thresholds: By name; each a line.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import score_figure
        >>> scores, anomalous = np.arange(10.0), np.arange(10) > 6
        >>> figure = score_figure(scores, anomalous, {"threshold": 6.5}, "part")
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['normal (7)', 'anomalous (3)', 'threshold: 6.5']
    """
    figure = score_histogram(scores, anomalous, ("normal", "anomalous"))
    axes = figure.axes[0]
    figure.suptitle(title, fontsize=11, fontweight="bold")
    axes.set_xlabel("image score")
    for number, (name, value) in enumerate(thresholds.items()):
        dashes = DASHES[(number + 1) % len(DASHES)]
        label = f"{name}: {value:.4g}"
        axes.axvline(value, color=BLACK, linestyle=dashes, linewidth=1.2, label=label)
    axes.legend(frameon=False, fontsize=8)
    return figure


def breakdown_figure(
    groups: Mapping[str, Sequence[GroupRow]], xlabel: str, title: str
) -> Figure:
    """Draw a figure with its interval for each group: defect types, sizes, positions.

    Args:
        groups: Rows under headings, at least one row; a heading may have none.
        xlabel: What the figure is.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report import GroupRow, breakdown_figure
        >>> groups = {"defect types": [GroupRow("crack", 0.9, 0.7, 1.0, 20)]}
        >>> figure = breakdown_figure(groups, "share found", "part")
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['crack (20)']
    """
    shown = {name: rows for name, rows in groups.items() if rows}
    heights = [len(rows) + 0.8 for rows in shown.values()]
    figure = new_figure(5.6, 0.9 + 0.34 * sum(heights))
    figure.suptitle(title, fontsize=11, fontweight="bold")
    panels = figure.subplots(
        len(shown), 1, sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    for axes, (heading, rows) in zip(panels, shown.items(), strict=True):
        for place, row in enumerate(rows):
            if np.isfinite(row.low + row.high):
                axes.plot([row.low, row.high], [place, place], color=BLUE, lw=1.6)
            axes.plot(row.value, place, "o", color=BLUE, clip_on=False)
        names = [f"{row.name} ({row.n_images})" for row in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=8)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_title(heading, fontsize=9, loc="left")
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, 1.02)
    panels[-1].set_xlabel(xlabel)
    return figure


def reliability_figure(
    predicted: Float64Array,
    observed: Float64Array,
    counts: Int64Array,
    title: str,
    note: str = "",
) -> Figure:
    """Draw how often images are anomalous that are said to be so with a probability.

    Args:
        predicted: Mean probability of each bin, (n_bins,).
        observed: Share of anomalous images in each bin, (n_bins,).
        counts: Images in each bin, (n_bins,).
        title: Above all.
        note: In the diagram, e.g. the expected calibration error.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.metrics._probabilities import reliability
        >>> from adlib.report import reliability_figure
        >>> curve = reliability([0, 0, 1, 1], [0.1, 0.3, 0.6, 1.0], 2)
        >>> figure = reliability_figure(*curve[:3], "part: reliability")
        >>> len(figure.axes)
        2
    """
    figure = new_figure(4.4, 5.0)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, zorder=0)
    upper.plot(predicted, observed, "o-", color=BLUE, linewidth=1.4, clip_on=False)
    upper.text(0.02, 0.98, note, fontsize=8, va="top", transform=upper.transAxes)
    upper.set(ylabel="share that is anomalous", xlim=(-0.02, 1.02), ylim=(0, 1.02))
    lower.bar(predicted, counts, width=0.02, color=ORANGE, edgecolor="white")
    lower.locator_params(axis="y", integer=True, nbins=3)
    lower.set(xlabel="probability of being anomalous", ylabel="images")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
