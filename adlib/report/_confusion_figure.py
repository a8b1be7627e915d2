"""Confusion matrices side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from adlib.metrics._image_metrics import Confusion
from adlib.report._figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("normal", "anomalous")
DARK = 0.55  # share of a row from which white letters read better


def confusion_figure(tables: Mapping[str, Confusion], title: str) -> Figure:
    """Draw confusion matrices: how many images of each kind are called what.

    Args:
        tables: By the name of the method or class; at least one.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Note:
        Colours show the share of the images of a kind, on one scale for all.

    Example:
        >>> from adlib.metrics._image_metrics import Confusion
        >>> from adlib.report import confusion_figure
        >>> figure = confusion_figure({"PatchCore": Confusion(18, 2, 1, 9)}, "part")
        >>> [text.get_text().split()[0] for text in figure.axes[0].texts]
        ['18', '2', '1', '9']
    """
    figure = new_figure(2.7 * len(tables) + 0.6, 3.2)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        counts = np.array(table).reshape(2, 2)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(2, 2):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{counts[row, column]}\n{100 * share:.1f} %",
                ha="center",
                va="center",
                color="white" if share > DARK else "black",
            )
        axes.set_title(name, fontsize=10)
        axes.set_xticks(range(2), KINDS, fontsize=8)
        axes.set_yticks(range(2), KINDS, fontsize=8, rotation=90, va="center")
        axes.set_xlabel("verdict")
        axes.tick_params(length=0)
    panels[0].set_ylabel("true")
    return figure
