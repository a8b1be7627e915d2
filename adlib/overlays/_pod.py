"""The figure of a POD report: a panel for each kind of defect."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from adlib._files import replacing
from adlib._html import BLUE, ORANGE
from adlib.pod import PodReport, PodRow

WIDTH = 6.7  # inches
DOTS_PER_INCH = 200
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#000000")
N_POINTS = 40  # of a curve: each of its bound takes milliseconds
RELIABLE = 0.9


def draw_pod(report: PodReport, path: Path) -> None:
    """Write the POD curves, their lower 95 % bounds and what was found, as a PNG."""
    kinds = list(dict.fromkeys(row.kind for row in report.rows))
    contrasts = list(dict.fromkeys(row.contrast for row in report.rows))
    n_columns = min(2, len(kinds))
    n_lines = math.ceil(len(kinds) / n_columns)
    figure = Figure((WIDTH, 1.1 + 2.2 * n_lines), layout="constrained")
    panels = figure.subplots(
        n_lines, n_columns, sharex=True, sharey=True, squeeze=False
    )
    for ax, kind in zip(panels.ravel(), kinds, strict=False):
        rows = [row for row in report.rows if row.kind == kind]
        for row in rows:
            _draw(ax, row, contrasts.index(row.contrast), len(contrasts))
        ax.set_title(kind, fontsize=9, loc="left", fontweight="bold")
    for ax in panels.ravel()[len(kinds) :]:
        ax.set_axis_off()
    for ax in panels[-1]:
        ax.set_xlabel("size (pixels of the image)", fontsize=8)
    for ax in panels[:, 0]:
        ax.set_ylabel("probability of detection", fontsize=8)
    handles = [
        panels[0, 0].plot([], [], color=COLOURS[i % len(COLOURS)])[0]
        for i in range(len(contrasts))
    ]
    labels = [f"contrast {contrast:g}" for contrast in contrasts]
    handles += panels[0, 0].plot([], [], color="0.4", ls=":")
    handles += panels[0, 0].plot([], [], "D", color="0.4", ms=4, mfc="white")
    handles += panels[0, 0].plot([], [], "|", color="0.4", ms=5)
    labels += ["lower 95 % bound", "a90/95", "found (above), missed (below)"]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        fontsize=7.5,
        frameon=False,
    )
    rate = 100 * report.n_false_alarms / report.n_good
    figure.suptitle(
        f"Synthetic defects, {report.n_false_alarms} of {report.n_good} good images "
        f"({rate:.3g} %) falsely alarmed",
        fontsize=9,
    )
    with replacing(path) as temporary:
        metadata = {"Software": None}
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata=metadata)


def _draw(ax: Axes, row: PodRow, number: int, n_rows: int) -> None:
    """Draw a curve with its bound, and above and below it what was found and missed."""
    curve, colour = row.curve, COLOURS[number % len(COLOURS)]
    low, high = float(curve.sizes.min()), float(curve.sizes.max())
    at = np.geomspace(low, high, N_POINTS)[1:-1]
    ax.plot(at, curve(at), color=colour, lw=1.4)
    ax.plot(at, curve.lower(at), color=colour, lw=1, ls=":")
    if math.isfinite(curve.a90_95):
        ax.plot(curve.a90_95, RELIABLE, "D", color=colour, ms=4, mfc="white", zorder=3)
    # A line of ticks for each contrast, above 1 and below 0.
    for found, base, away in ((True, 1.04, 0.04), (False, -0.04, -0.04)):
        sizes = curve.sizes[curve.found == found]
        place = np.full(len(sizes), base + away * number)
        if sizes.size:  # an empty line without clipping breaks the layout
            ax.plot(sizes, place, "|", color=colour, ms=3, mew=0.7, clip_on=False)
    ax.axhline(RELIABLE, color="0.8", lw=0.6, zorder=0)
    ax.set_xscale("log", base=2)
    reach = 0.06 + 0.04 * (n_rows - 1)
    ax.set(xlim=(low / 1.05, high * 1.05), ylim=(-reach, 1 + reach))
    ax.set_yticks([0, 0.5, RELIABLE, 1], ["0", "0.5", "0.9", "1"])
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(labelsize=7.5)
    ax.spines[["top", "right"]].set_visible(False)
