"""Curves of several methods in one picture: ROC, precision and recall, PRO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from adlib._typing import Float64Array
from adlib.report._figures import BLACK, COLOURS, DASHES, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 4.6  # inches
MOST_POINTS = 2000  # that a curve is drawn with


class Curve(NamedTuple):
    """A curve and what its legend says.

    Attributes:
        name: Of the method or class.
        x: Abscissas, (n_points,), rising.
        y: Ordinates, (n_points,).
        note: Behind the name, e.g. the area under the curve.
        point: What is marked on it, e.g. where the threshold stands, (x, y).
    """

    name: str
    x: Float64Array
    y: Float64Array
    note: str = ""
    point: tuple[float, float] | None = None


class Roc(NamedTuple):
    """scikit-learn's curve."""

    false_positive_rates: Float64Array
    true_positive_rates: Float64Array


class PrecisionRecall(NamedTuple):
    """scikit-learn's curve, recall rising, without its made-up end."""

    precisions: Float64Array
    recalls: Float64Array


def roc_curve(y_true: Any, scores: Any) -> Roc:
    """Return scikit-learn's ROC curve."""
    from sklearn import metrics  # noqa: PLC0415 - slow to import

    return Roc(*metrics.roc_curve(y_true, scores, drop_intermediate=False)[:2])


def precision_recall_curve(y_true: Any, scores: Any) -> PrecisionRecall:
    """Return scikit-learn's precision-recall curve."""
    from sklearn import metrics  # noqa: PLC0415 - slow to import

    precisions, recalls, _ = metrics.precision_recall_curve(y_true, scores)
    return PrecisionRecall(precisions[:-1][::-1], recalls[:-1][::-1])


def roc_figure(curves: Sequence[Curve], title: str) -> Figure:
    """Draw ROC curves: true-positive against false-positive rates.

    Args:
        curves: One for each method; points mark their thresholds.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report._curve_figures import roc_curve
        >>> from adlib.report import Curve, roc_figure
        >>> curve = roc_curve([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
        >>> drawn = Curve("any", curve.false_positive_rates, curve.true_positive_rates)
        >>> roc_figure([drawn], "part: ROC").axes[0].get_xlabel()
        'false-positive rate'
    """
    figure, axes = _frame(title)
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, zorder=0)
    _draw(axes, curves)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    _legend(axes, "AUROC", "lower right")
    return figure


def precision_recall_figure(
    curves: Sequence[Curve], title: str, baseline: float
) -> Figure:
    """Draw precision against recall, as steps.

    Args:
        curves: One for each method, x the recall.
        title: Above all.
        baseline: Share of anomalous images, in [0, 1]: the precision of guessing.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report._curve_figures import precision_recall_curve
        >>> from adlib.report import Curve, precision_recall_figure
        >>> curve = precision_recall_curve([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
        >>> drawn = Curve("any", curve.recalls, curve.precisions)
        >>> precision_recall_figure([drawn], "part", 0.5).axes[0].get_xlabel()
        'recall'
    """
    figure, axes = _frame(title)
    axes.axhline(baseline, color="0.75", linewidth=0.8, zorder=0)
    axes.text(0.02, baseline, "guessing", fontsize=7, color="0.45", va="bottom")
    # Between two recalls the precision is that of the higher one.
    _draw(axes, curves, "steps-pre")
    axes.set(xlabel="recall", ylabel="precision")
    _legend(axes, "average precision", "lower left")
    return figure


def pro_figure(curves: Sequence[Curve], title: str, fpr_limit: float) -> Figure:
    """Draw the per-region overlap up to the limit of the false-positive rate.

    Args:
        curves: One for each method, x the false-positive rate of pixels.
        title: Above all.
        fpr_limit: Where the area under the curve ends, in (0, 1].

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import Curve, pro_figure
        >>> curve = Curve("any", np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.9, 1.0]))
        >>> pro_figure([curve], "part: overlap", 0.3).axes[0].get_xlabel()
        'false-positive rate of pixels'
    """
    figure, axes = _frame(title)
    cut = [_cut(curve, fpr_limit) for curve in curves]
    if len(cut) == 1:
        axes.fill_between(cut[0].x, cut[0].y, color=COLOURS[0], alpha=0.08, lw=0)
    _draw(axes, cut)
    axes.set(xlabel="false-positive rate of pixels", ylabel="per-region overlap")
    axes.set(xlim=(0, fpr_limit), aspect="auto")
    _legend(axes, f"AUPRO to {fpr_limit:g}", "lower right")
    return figure


def thinned(curve: Curve) -> Curve:
    """Return a curve of at most some thousand of its own points, evenly along it."""
    if len(curve.x) <= MOST_POINTS:
        return curve
    length = np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))
    wanted = np.linspace(0, length[-1], MOST_POINTS - 1)
    kept = np.unique(np.searchsorted(length, wanted) + 1)
    kept = np.concatenate([[0], kept[kept < len(curve.x) - 1], [len(curve.x) - 1]])
    return curve._replace(x=curve.x[kept], y=curve.y[kept])


def _cut(curve: Curve, limit: float) -> Curve:
    """Return what lies up to a limit, and the point on it."""
    inside = int(np.searchsorted(curve.x, limit, side="right"))
    end = float(np.interp(limit, curve.x, curve.y))
    cut = curve._replace(
        x=np.append(curve.x[:inside], limit), y=np.append(curve.y[:inside], end)
    )
    return thinned(cut)


def _draw(axes: Axes, curves: Sequence[Curve], style: str = "default") -> None:
    for number, whole in enumerate(curves):
        curve = thinned(whole)
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            curve.x,
            curve.y,
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.8,
            drawstyle=style,
            label=f"{curve.name}  {curve.note}".rstrip(),
            clip_on=False,
        )
        if curve.point is not None:
            axes.plot(
                *curve.point, "o", color=colour, markeredgecolor=BLACK, clip_on=False
            )


def _legend(
    axes: Axes, title: str, place: Literal["lower left", "lower right"]
) -> None:
    legend = axes.legend(
        frameon=False, loc=place, fontsize=8, title=title, title_fontsize=8
    )
    legend.set_alignment("left")


def _frame(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(SIDE, SIDE)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
