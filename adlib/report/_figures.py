"""Figures of the study's tables, by seaborn and scikit-learn's displays."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

from adlib._validation import check_option, refusal
from adlib.report._style import COLOURS, STYLE, WIDTH, new_figure
from adlib.study._names import METHODS

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
ABBREVIATIONS = ("auroc", "aupro", "aupimo", "f1")
KINDS = ("normal", "anomalous")
LETTER = 0.052  # inches that a letter is wide


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

    Args:
        figures: Rows of the table of figures; those of other metrics are left out.
        metric: What is drawn; of several, each gets a panel.
        title: Text above all.
        x: The column whose values are listed along an axis.
        hue: The column whose values have a colour and a marker each.
        panels: The column whose values have a panel each.
        kind: "point": dots beside the names of ``x``. "bar": bars above them.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ValueError: No row has the metric, or two rows would be one point.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import metric_figure
        >>> rows = [("bolt", "PatchCore", "auroc", 0.97, 0.94, 0.99),
        ...         ("bolt", "PaDiM", "auroc", 0.93, 0.88, 0.97)]
        >>> columns = ["class", "method", "metric", "value", "low", "high"]
        >>> figure = metric_figure(pd.DataFrame(rows, columns=columns), "auroc")
        >>> figure.axes[0].get_xlabel()
        'AUROC'
    """
    check_option(kind, "kind", "metric_figure", ("point", "bar"))
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
        what = words(part["metric"].iloc[0])
        if kind == "bar":
            sns.barplot(part, x=x, y="drawn", ax=ax, **options)
            ax.set(xlabel="", ylabel="" if panels == "metric" else what)
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

    Args:
        scores: Rows of the table of scores; validation images are left out.
        title: Text above all.
        y: The column whose values get a line each.

    Returns:
        The figure, for ``save_figure``; a panel a class and method.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import score_figure
        >>> rows = [("clean", "PaDiM", "bolt", "test", 0, 1.0, 2.0),
        ...         ("clean", "PaDiM", "bolt", "test", 1, 3.0, 2.0)]
        >>> columns = ["condition", "method", "class", "split", "label", "score"]
        >>> table = pd.DataFrame(rows, columns=[*columns, "threshold"])
        >>> score_figure(table).axes[0].get_title()
        'bolt, PaDiM'
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
    """Draw ROC or precision-recall curves; dots mark the thresholds.

    Args:
        scores: Rows of the table of scores; validation images are left out. Each method
            and condition in it gets a line.
        kind: Which curve.
        title: Text above all.

    Returns:
        The figure, for ``save_figure``; a panel a class.

    Raises:
        ValueError: The kind is unknown.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import curve_figure
        >>> rows = [("clean", "PaDiM", "bolt", "test", 0, 1.0, 1),
        ...         ("clean", "PaDiM", "bolt", "test", 1, 3.0, -1)]
        >>> columns = ["condition", "method", "class", "split", "label", "score"]
        >>> table = pd.DataFrame(rows, columns=[*columns, "verdict"])
        >>> len(curve_figure(table, "roc").axes[0].get_lines())
        2
    """
    check_option(kind, "kind", "curve_figure", ("roc", "pr"))
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
            recall = called[y == 1].mean()
            if kind == "roc":
                dot = called[y == 0].mean(), recall
            else:
                dot = recall, y[called].mean() if called.any() else np.nan
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
    """Count normal and anomalous test images by what they are predicted to be.

    Args:
        scores: Rows of the table of scores of one condition; validation images are
            left out.
        title: Text above all.

    Returns:
        The figure, for ``save_figure``; a panel a class and method.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import confusion_figure
        >>> rows = [("bolt", "test", 0, 0.1, 1), ("bolt", "test", 1, 0.9, -1)]
        >>> columns = ["class", "split", "label", "score", "verdict"]
        >>> table = pd.DataFrame(rows, columns=columns).assign(method="PaDiM")
        >>> figure = confusion_figure(table)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1', '0', '0', '1']
    """
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
    """Draw a metric as a matrix, its values in the cells.

    Args:
        figures: Rows of the table of figures; those of other metrics are left out.
        metric: What is drawn.
        title: Text above all.
        index: The column whose values are the lines of a matrix.
        columns: The column whose values are the columns of a matrix.
        panels: The column whose values have a matrix each.
        form: How a value is written in its cell.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ValueError: No row has the metric, or two rows would be one cell.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import matrix_figure
        >>> rows = [("bolt", "clean", "auroc", 0.97), ("bolt", "shifted", "auroc", 0.8)]
        >>> columns = ["class", "condition", "metric", "value"]
        >>> table = pd.DataFrame(rows, columns=columns)
        >>> figure = matrix_figure(table, "auroc", index="class", columns="condition")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.970', '0.800']
    """
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

    Args:
        table: E.g. a pivot of the table of figures, or places in a t-SNE plane.
        x: A column of numbers.
        y: Likewise.
        title: Text above all.
        hue: The column whose values have a colour each.
        style: The column whose values have a marker each; None: that of ``hue``.
        panels: The column whose values have a panel each.
        axes: Whether the numbers along the axes mean something and are shown.

    Returns:
        The figure, for ``save_figure``.

    Example:
        >>> import pandas as pd
        >>> from adlib.report import scatter_figure
        >>> rows = [("a", 0.9, 0.95), ("b", 0.8, 0.97)]
        >>> table = pd.DataFrame(rows, columns=["method", "auroc", "pixel_auroc"])
        >>> scatter_figure(table, "pixel_auroc", "auroc").axes[0].get_xlabel()
        'pixel AUROC'
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
