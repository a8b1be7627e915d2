"""Figures of the study's tables, by seaborn and scikit-learn's displays.

They are drawn at the size of print, with letters of 7 to 9 points, from rows of the
tables of figures or of scores; each function takes of these what it draws.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

from adlib._files import replacing
from adlib._html import BLUE, ORANGE
from adlib._validation import refusal
from adlib.study._names import METHODS

WIDTH = 6.7  # inches: the text of the report, which no figure is wider than
DOTS_PER_INCH = 250
# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "figure.titlesize": 9.5,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 4,
    "lines.linewidth": 1.3,
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
ABBREVIATIONS = ("auroc", "aupro", "aupimo", "f1")
KINDS = ("normal", "anomalous")
LETTER = 0.052  # inches that a letter is wide


def new_figure(height: float, width: float = WIDTH, title: str = "") -> Figure:
    """Return an empty figure of a size in inches that lays itself out."""
    figure = Figure(figsize=(min(width, WIDTH), height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, the same bytes whenever it is drawn again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Ticks are made while a figure is written, in the style of that moment.
    with rc_context(STYLE), replacing(path) as temporary:
        metadata = {"Software": None}
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata=metadata)


def words(name: str) -> str:
    """Return a metric's name as readers know it: "pixel AUROC" of "pixel_auroc"."""
    parts = name.replace("latency_ms", "latency (ms)").split("_")
    return " ".join(p.upper() if p in ABBREVIATIONS else p for p in parts)


@rc_context(STYLE)
def metric_figure(
    figures: DataFrame,
    metric: str | Sequence[str],
    title: str = "",
    *,
    x: str = "class",
    hue: str = "method",
    panels: str | None = None,
    kind: Literal["point", "bar"] = "point",
) -> Figure:
    """Draw values of metrics, with their intervals where they have one.

    The values of ``x`` are listed along an axis, those of ``hue`` have a colour and a
    marker each, those of ``panels``, or else of several metrics, a panel each.
    """
    names = [metric] if isinstance(metric, str) else list(metric)
    panels = "metric" if panels is None and len(names) > 1 else panels
    keys = list(dict.fromkeys([x, hue, "metric", panels or x]))
    rows = _of_metrics(figures, names, keys)
    shown, hues = list(dict.fromkeys(rows[x])), list(dict.fromkeys(rows[hue]))
    # The median of the two bounds and the value between them is the value, and their
    # range the interval. A bound of the bootstrap may lie on the value's other side.
    low = rows[["low", "value"]].min(axis=1).where(rows["low"].notna())
    high = rows[["high", "value"]].max(axis=1).where(rows["high"].notna())
    rows = rows.assign(low=low, high=high)
    long = rows.melt(keys, ["low", "value", "high"], value_name="drawn")
    options: dict[str, Any] = {"hue": hue, "hue_order": hues, "order": shown}
    options |= {"palette": [COLOURS[n % len(COLOURS)] for n in range(len(hues))]}
    options |= {"estimator": "median", "errorbar": ("pi", 100), "err_kws": {"lw": 1}}
    height = 1.55 if kind == "bar" else 0.7 + (0.09 * len(hues) + 0.08) * len(shown)
    figure, drawn = _panels(long, panels, title, height=height, sharey=True)
    for ax, part in drawn:
        what = "" if panels == "metric" else words(part["metric"].iloc[0])
        if kind == "bar":
            sns.barplot(part, x=x, y="drawn", ax=ax, **options)
            ax.set(xlabel="", ylabel=what)
            ax.tick_params("x", rotation=0 if len(shown) < 5 else 90)  # noqa: PLR2004
            continue
        dots = {"linestyle": "none", "markersize": 4.5, "orient": "y"}
        dots |= {"markers": [MARKERS[n % len(MARKERS)] for n in range(len(hues))]}
        dodge = 0.5 if len(hues) > 1 else False
        sns.pointplot(part, x="drawn", y=x, ax=ax, dodge=dodge, **dots, **options)
        ax.set(ylabel="", xlabel=what)
        ax.grid(axis="x", color="0.9", lw=0.6)
    _one_legend(figure)
    return figure


@rc_context(STYLE)
def score_figure(scores: DataFrame, title: str = "", *, y: str = "condition") -> Figure:
    """Draw the scores of test images, a dot each, and the thresholds they are cut at.

    There is a panel a class and method, in it a line for each value of ``y``.
    """
    table = _test_images(scores)
    lines = list(dict.fromkeys(table[y]))
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(table))
    table["place"] = table[y].map(lines.index) + 0.36 * table["label"] - 0.18 + spread
    height = 0.6 + 0.4 * len(lines)
    figure, drawn = _panels(table, "panel", title, height=height, most=2, sharey=True)
    options: dict[str, Any] = {"hue": "image", "style": "image", "palette": COLOURS[:2]}
    options |= {"hue_order": KINDS, "style_order": KINDS, "alpha": 0.7, "s": 11}
    for ax, part in drawn:
        sns.scatterplot(part, x="score", y="place", ax=ax, linewidth=0, **options)
        cuts = part[[y, "threshold"]].dropna().drop_duplicates()
        at = cuts[y].map(lines.index)
        places = cuts["threshold"], at - 0.4, at + 0.4
        ax.vlines(*places, colors="black", label="threshold")
        ax.set(ylabel="", yticks=range(len(lines)), yticklabels=lines)
        ax.set_ylim(len(lines) - 0.5, -0.5)
    _one_legend(figure)
    return figure


@rc_context(STYLE)
def curve_figure(
    scores: DataFrame, kind: Literal["roc", "pr"], title: str = ""
) -> Figure:
    """Draw ROC or precision-recall curves by class; dots mark the thresholds."""
    table = _test_images(scores)
    keys = ["condition", "method"]
    conditions, methods = (list(dict.fromkeys(table[key])) for key in keys)
    roc, pr = metrics.RocCurveDisplay, metrics.PrecisionRecallDisplay
    display: Any = roc if kind == "roc" else pr
    height = 2.1 + 0.16 * len(methods) * len(conditions)
    figure, drawn = _panels(table, "class", title, height=height, sharey=True)
    for ax, of_class in drawn:
        for (condition, method), part in of_class.groupby(keys, sort=False):
            y, score = part["label"].to_numpy(int), part["score"].to_numpy(float)
            called = part["verdict"].to_numpy(int) < 0
            false_alarms, recall = (called[y == label].mean() for label in (0, 1))
            precision = y[called].mean() if called.any() else np.nan
            dot = (false_alarms, recall) if kind == "roc" else (recall, precision)
            name = f"{method}, {condition}" if len(conditions) > 1 else method
            display.from_predictions(y, score, ax=ax, name=name)
            colour = COLOURS[methods.index(method) % len(COLOURS)]
            dashes = DASHES[conditions.index(condition) % len(DASHES)]
            ax.get_lines()[-1].set(color=colour, linestyle=dashes)
            ax.plot(*dot, "o", color=colour, label="_threshold")
        labels = (axis.get_label_text() for axis in (ax.xaxis, ax.yaxis))
        xlabel, ylabel = (label.split(" (")[0] for label in labels)  # no positive class
        ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        ax.set_aspect("equal")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
    return figure


@rc_context(STYLE)
def reliability_figure(figures: DataFrame) -> Figure:
    """Draw the rows "predicted" and "observed" of each bin, a panel a class."""
    figure, drawn = _panels(figures, "class", "", height=1.9, sharey=True)
    for ax, of_class in drawn:
        for number, (method, part) in enumerate(of_class.groupby("method", sort=False)):
            bins = part.pivot(index="setting", columns="metric", values="value")
            bins = bins.dropna().sort_values("predicted")
            shown = CalibrationDisplay(bins["observed"], bins["predicted"], None)
            shown.plot(ax=ax, name=method)
            ax.get_lines()[-1].set(color=COLOURS[number], marker=MARKERS[number])
        ax.set(xlabel="predicted probability", ylabel="observed share", aspect="equal")
    _one_legend(figure)
    return figure


@rc_context(STYLE)
def confusion_figure(scores: DataFrame, title: str = "") -> Figure:
    """Count normal and anomalous test images by what they are predicted to be."""
    figure, drawn = _panels(_test_images(scores), "panel", title, height=1.75)
    for ax, part in drawn:
        true, called = part["label"].to_numpy(int), part["verdict"].to_numpy(int) < 0
        counts = metrics.confusion_matrix(true, called, labels=[0, 1])
        shown = metrics.ConfusionMatrixDisplay(counts, display_labels=KINDS)
        shown.plot(ax=ax, cmap="Blues", colorbar=False)
        ax.set(xlabel="predicted", ylabel="true")
    return figure


@rc_context(STYLE)
def matrix_figure(
    figures: DataFrame,
    metric: str,
    title: str = "",
    *,
    index: str,
    columns: str,
    panels: str | None = None,
    form: str = ".3f",
) -> Figure:
    """Draw a metric as a matrix for each value of ``panels``, values in the cells."""
    keys = list(dict.fromkeys([index, columns, "metric", panels or index]))
    rows = _of_metrics(figures, [metric], keys)
    lines = list(dict.fromkeys(rows[index]))
    wrap = partial(textwrap.fill, width=12, break_long_words=False)
    rows = rows.assign(**{columns: rows[columns].map(wrap)})
    longest = rows[columns].str.split("\n").explode().str.len().max()
    n_panels = min(rows[panels].nunique(), 4) if panels else 1
    room = WIDTH / max(n_panels, 2) - LETTER * max(map(len, lines)) / n_panels
    crowded = rows[columns].nunique() * longest * LETTER > room
    height = 0.45 + 0.135 * len(lines) + (0.1 + LETTER * longest if crowded else 0.3)
    figure, drawn = _panels(rows, panels, title, height=height, most=4, sharey=True)
    options: dict[str, Any] = {"vmin": rows["value"].min(), "vmax": rows["value"].max()}
    options |= {"annot": True, "fmt": form, "annot_kws": {"size": 7.5}, "cbar": False}
    for ax, part in drawn:
        table = part.pivot(index=index, columns=columns, values="value")
        table = table.reindex(index=lines, columns=list(dict.fromkeys(part[columns])))
        sns.heatmap(table, ax=ax, cmap="viridis", **options)
        ax.set(xlabel="", ylabel="")
        ax.tick_params("y", rotation=0)
        ax.tick_params("x", rotation=90 if crowded else 0)
    return figure


@rc_context(STYLE)
def scatter_figure(
    table: DataFrame,
    x: str,
    y: str,
    title: str = "",
    *,
    hue: str = "method",
    style: str | None = None,
    panels: str | None = None,
    axes: bool = True,
) -> Figure:
    """Draw two columns of any table against each other.

    Without ``axes`` the numbers along them mean nothing, as in a t-SNE plane.
    """
    seen = list(dict.fromkeys(table[hue]))
    hues = [of for of in METHODS if of in seen] or seen  # the same colours everywhere
    options: dict[str, Any] = {"hue": hue, "hue_order": hues, "style": style or hue}
    options |= {"palette": COLOURS[: len(hues)], "alpha": 0.8, "s": 26 if axes else 8}
    figure, drawn = _panels(table, panels, title, height=1.8)
    for ax, part in drawn:
        sns.scatterplot(part, x=x, y=y, ax=ax, linewidth=0, **options)
        ax.set(xlabel="" if panels == "metric" else words(x), ylabel=words(y))
        if not axes:
            ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    _one_legend(figure)
    return figure


def _panels(
    table: DataFrame,
    column: str | None,
    title: str,
    *,
    height: float,
    most: int = 3,
    sharey: bool = False,
) -> tuple[Figure, list[tuple[Axes, DataFrame]]]:
    """Return a figure, and a panel with its rows for each value of a column."""
    parts = list(table.groupby(column, sort=False)) if column else [("", table)]
    n_lines = -(-len(parts) // most)
    n_columns = -(-len(parts) // n_lines)  # the same number in each line, or nearly
    width = WIDTH if n_columns > 1 else WIDTH / 2  # half of the page for a single one
    figure = new_figure(height * n_lines + 0.3 * bool(title), width, title)
    axes = figure.subplots(n_lines, n_columns, sharey=sharey, squeeze=False).ravel()
    for ax in axes[len(parts) :]:
        ax.set_axis_off()
    if len(parts) > 1 or column == "panel":
        for ax, (name, _) in zip(axes, parts, strict=False):
            text = words(str(name)) if column == "metric" else str(name)
            ax.set_title(textwrap.fill(text, 72 // n_columns))
    return figure, [(ax, part) for ax, (_, part) in zip(axes, parts, strict=False)]


def _one_legend(figure: Figure) -> None:
    """Put one legend for all panels below them."""
    handles: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
    n_columns = min(len(handles), max(2, round(figure.get_figwidth() * 0.75)))
    drawn = handles.values(), handles.keys()
    figure.legend(*drawn, loc="outside lower center", ncols=n_columns)


def _test_images(scores: DataFrame) -> DataFrame:
    """Return test images by class, with columns for their panel and their kind."""
    table = scores[(scores["split"] == "test") & scores["score"].notna()]
    table = table.astype({"label": int})
    table = table.sort_values("class", kind="stable")
    panel = table["class"] + ", " + table["method"]
    return table.assign(panel=panel, image=table["label"].map(dict(enumerate(KINDS))))


def _of_metrics(
    figures: DataFrame, names: Sequence[str], keys: Sequence[str]
) -> DataFrame:
    """Return the rows that have one of some metrics, one for each of the keys."""
    rows = figures[figures["metric"].isin(names) & figures["value"].notna()]
    if rows.empty:
        there = sorted(set(figures["metric"]))
        raise ValueError(refusal("metric", "figures", f"one of {there}", list(names)))
    twice = rows[rows.duplicated(keys)]
    if len(twice):
        place = ", ".join(str(twice.iloc[0][key]) for key in keys)
        rule = f"one row for each {', '.join(keys)}"
        raise ValueError(refusal("figures", "figures", rule, f"several for {place}"))
    return rows
