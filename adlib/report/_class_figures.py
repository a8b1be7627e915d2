"""What is in a class, drawn: its parts, its sizes, how much its defects take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from adlib.report._figures import BLUE, ORANGE, new_figure
from adlib.report._missing import needs_report_extra
from adlib.study import ClassSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GOOD = "good"


def class_figure(
    summary: ClassSummary, counts: Mapping[str, Mapping[str, int]]
) -> Figure:
    """Draw what is in a class.

    Args:
        summary: What ``adlib.study.summarise`` found. Without masks there is no panel
            of defects, without several sizes none of sizes.
        counts: Images of each part of its split and of each defect type.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report import class_figure
        >>> from adlib.study import ClassSummary
        >>> counts = {"train": {"good": 40}, "test": {"good": 10, "crack": 5}}
        >>> sizes, shares = {(64, 64): 55}, {"crack": [0.01, 0.03]}
        >>> summary = ClassSummary("part", counts, sizes, {"L": 55}, 5, 5, shares)
        >>> len(class_figure(summary, counts).axes)  # images, and what defects take
        2
    """
    several_sizes, has_masks = len(summary.sizes) > 1, bool(summary.defect_ratios)
    n_panels = 1 + several_sizes + has_masks
    figure = new_figure(4.4 * n_panels, 3.4)
    modes = ", ".join(
        f"{n:,} {'grey' if mode == 'L' else mode} images"
        for mode, n in summary.modes.items()
    )
    figure.suptitle(
        f"{summary.class_name}: {modes}, {summary.size_text()}",
        fontsize=11,
        fontweight="bold",
    )
    panels = list(figure.subplots(1, n_panels, squeeze=False)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    _draw_counts(panels.pop(0), counts)
    if several_sizes:
        _draw_sizes(panels.pop(0), summary)
    if has_masks:
        _draw_defects(panels.pop(0), summary)
    return figure


def _draw_counts(axes: Axes, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Draw a bar for each part, good images first, defect types behind them."""
    types = sorted({kind for part in counts.values() for kind in part} - {GOOD})
    parts = list(counts)
    left = np.zeros(len(parts))
    for number, kind in enumerate([GOOD, *types]):
        widths = np.array([counts[part].get(kind, 0) for part in parts])
        axes.barh(
            parts,
            widths,
            left=left,
            color=BLUE if kind == GOOD else ORANGE,
            alpha=1.0 if kind == GOOD else 1 - 0.75 * (number - 1) / len(types),
            label=kind,
            edgecolor="white",
            linewidth=0.5,
        )
        left += widths
    for place, total in enumerate(left):
        axes.text(total, place, f" {int(total)}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("images")
    axes.set_xlim(right=1.12 * left.max())
    axes.legend(
        fontsize=7,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.18),
        ncols=3,
    )


def _draw_sizes(axes: Axes, summary: ClassSummary) -> None:
    heights, widths = np.array(list(summary.sizes)).T
    n_images = np.array(list(summary.sizes.values()))
    axes.scatter(widths, heights, s=8 + 4 * n_images, color=BLUE, alpha=0.4, lw=0)
    axes.set(xlabel="width in pixels", ylabel="height in pixels")
    axes.set(xlim=(0, None), ylim=(0, None), aspect="equal")


def _draw_defects(axes: Axes, summary: ClassSummary) -> None:
    """Draw how much of the image each mask marks, on a logarithmic scale."""
    with needs_report_extra("A figure"):
        from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415
    types = sorted(summary.defect_ratios)
    for place, kind in enumerate(types):
        shares = np.array(summary.defect_ratios[kind])
        # Spread by their order, not at random: the picture stays the same.
        offsets = 0.25 * np.sin(np.arange(len(shares)) * 2.4)
        axes.scatter(100 * shares, place + offsets, s=9, color=ORANGE, alpha=0.5, lw=0)
        axes.plot(100 * np.median(shares), place, "|", color="black", ms=16)
    axes.set_yticks(range(len(types)), types)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("marked part of the image in percent (bar: median)")
