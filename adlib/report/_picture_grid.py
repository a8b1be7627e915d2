"""Grids of pictures with the outlines of their masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from adlib._typing import BoolArray, Float32Array
from adlib.report._figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 1.7  # inches
TITLE_LETTER = 0.1  # inches, of the title's letters
LONGEST_TITLE = 22
OUTLINE = "#56e0ff"


class Picture(NamedTuple):
    """One picture of a grid.

    Attributes:
        pixels: (height, width) or (height, width, 3) float32 in [0, 1].
        title: Above it.
        mask: What is outlined, (height, width) bool; None: nothing.
    """

    pixels: Float32Array
    title: str = ""
    mask: BoolArray | None = None


def picture_grid(
    rows: Sequence[tuple[str, Sequence[Picture | None]]], title: str
) -> Figure:
    """Draw rows of pictures, each with what it is called at its left.

    Args:
        rows: A heading and pictures each; None leaves a place empty, and a short row is
            filled with empty places.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import Picture, picture_grid
        >>> pixels = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        >>> rows = [("image", [Picture(pixels, "0")]), ("mask", [None])]
        >>> len(picture_grid(rows, "part").axes)
        2
    """
    n_columns = max(len(pictures) for _, pictures in rows)
    width = max(PANEL * n_columns + 0.5, TITLE_LETTER * len(title))
    figure = new_figure(width, (PANEL + 0.25) * len(rows) + 0.4)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for line, (heading, pictures) in zip(axes, rows, strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(heading, fontsize=10)
        for ax, picture in zip(line, pictures, strict=False):
            if picture is None:
                continue
            ax.imshow(picture.pixels, cmap="gray", vmin=0, vmax=1)
            ax.set_title(shortened(picture.title), fontsize=8)
            if picture.mask is not None:
                draw_outline(ax, picture.mask)
    return figure


def draw_outline(axes: Axes, mask: BoolArray) -> None:
    """Outline what a mask marks, light on dark, to be seen on any picture."""
    if mask.any() and not mask.all():
        axes.contour(mask, [0.5], colors="black", linewidths=2.2)
        axes.contour(mask, [0.5], colors=OUTLINE, linewidths=0.9)


def shortened(text: str) -> str:
    """Return a text that fits over a picture, without its middle if it is long."""
    if len(text) <= LONGEST_TITLE:
        return text
    half = (LONGEST_TITLE - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
