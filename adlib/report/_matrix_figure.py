"""Tables of shares and figures as shaded cells, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib._typing import Float64Array
from adlib.report._confusion_figure import DARK
from adlib.report._figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Matrix(NamedTuple):
    """A table to draw.

    Attributes:
        heading: Above it.
        rows: Names of the rows.
        columns: Names of the columns.
        values: (n_rows, n_columns); NaN leaves a cell empty.
    """

    heading: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Float64Array


def matrix_figure(
    matrices: Sequence[Matrix],
    title: str,
    *,
    xlabel: str = "",
    ylabel: str = "",
    scale: tuple[float, float] = (0.0, 1.0),
    form: str = "{:.1%}",
) -> Figure:
    """Draw tables side by side, all on one scale; rows are named once where equal.

    Args:
        matrices: At least one.
        title: Above all.
        xlabel: What the columns are.
        ylabel: What the rows are.
        scale: Values of the palest and of the darkest cell.
        form: How values are written, as ``str.format`` takes it.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import Matrix, matrix_figure
        >>> shares = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> table = Matrix("", ["a", "b"], ["a", "b"], shares)
        >>> figure = matrix_figure([table], "Classes")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['90.0%', '10.0%', '20.0%', '80.0%']
    """
    same_rows = all(list(one.rows) == list(matrices[0].rows) for one in matrices)
    widths = [max(2.0, 0.85 * len(one.columns)) for one in matrices]
    n_rows = max(len(one.rows) for one in matrices)
    margin = 1.7 if same_rows else 1.7 * len(matrices)
    figure = new_figure(sum(widths) + margin, 0.36 * n_rows + 1.4)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    panels = figure.subplots(1, len(matrices), squeeze=False, width_ratios=widths)[0]
    low, high = scale
    for axes, one in zip(panels, matrices, strict=True):
        axes.imshow(one.values, cmap="Blues", vmin=low, vmax=high, aspect="auto")
        for row, column in np.ndindex(*one.values.shape):
            value = float(one.values[row, column])
            if np.isnan(value):
                continue
            dark = (value - low) / (high - low) > DARK
            axes.text(
                column,
                row,
                form.format(value),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
        axes.set_title(one.heading, fontsize=9)
        turned = max(map(len, one.columns)) > 10  # noqa: PLR2004 - letters that fit
        axes.set_xticks(
            range(len(one.columns)),
            one.columns,
            fontsize=8,
            rotation=25 if turned else 0,
            ha="right" if turned else "center",
        )
        named = axes is panels[0] or not same_rows
        names = one.rows if named else [""] * len(one.rows)
        axes.set_yticks(range(len(one.rows)), names, fontsize=8)
        axes.set_xlabel(xlabel, fontsize=8)
        axes.tick_params(length=0)
    panels[0].set_ylabel(ylabel, fontsize=8)
    return figure
