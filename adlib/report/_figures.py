"""Figures of scores and cells, drawn without touching matplotlib's global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib._typing import BoolArray, Float32Array, Float64Array
from adlib.report._missing import needs_report_extra
from adlib.report._overlay import COLOURMAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

BLUE, ORANGE, BLACK = "#0072b2", "#d55e00", "#000000"
# Okabe and Ito's, told apart by everyone; dashes tell them apart in grey print too.
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1)), (0, (1, 3)))
DOTS_PER_INCH = 110


class Panel(NamedTuple):
    """One image with its overlay: what is shown, and the lines above it."""

    image: Float32Array
    overlay: Image
    title: str
    marked: bool


def score_histogram(
    scores: Float32Array | Float64Array, anomalous: BoolArray, names: tuple[str, str]
) -> Figure:
    """Draw the scores of normal and of anomalous images in the same bins.

    Args:
        scores: (n_images,).
        anomalous: (n_images,) bool.
        names: What normal and what anomalous images are called.
    """
    figure = new_figure(6.4, 3.0)
    axes = figure.subplots()
    edges = np.histogram_bin_edges(scores, bins=40)
    kinds = ((~anomalous, BLUE, names[0]), (anomalous, ORANGE, names[1]))
    for chosen, colour, name in kinds:
        label = f"{name} ({int(chosen.sum())})"
        axes.hist(scores[chosen], edges.tolist(), color=colour, alpha=0.65, label=label)
    axes.set_xlabel("image score (distance to the nearest good patches)")
    axes.set_ylabel("images")
    axes.locator_params(axis="y", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def inspection_grid(
    rows: Sequence[tuple[str, Sequence[Panel]]], scale: tuple[float, float]
) -> Figure:
    """Draw rows of images with their overlays underneath, all on one scale.

    Args:
        rows: A heading and the panels of each row, the same number in each.
        scale: Map values of the colour bar's ends.
    """
    with needs_report_extra("A figure"):
        from matplotlib.cm import ScalarMappable  # noqa: PLC0415 - optional
        from matplotlib.colors import Normalize  # noqa: PLC0415
    n_columns = len(rows[0][1])
    figure = new_figure(1.55 * n_columns + 0.9, 3.75 * len(rows))
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (heading, panels) in zip(parts, rows, strict=True):
        part.suptitle(heading, fontsize=11, fontweight="bold")
        axes = part.subplots(2, n_columns, squeeze=False)
        for column, panel in enumerate(panels):
            colour = ORANGE if panel.marked else BLUE
            axes[0, column].imshow(panel.image, cmap="gray", vmin=0, vmax=1)
            axes[0, column].set_title(panel.title, fontsize=9, color=colour)
            axes[1, column].imshow(panel.overlay)
        for ax in axes.flat:
            ax.set_axis_off()
        bar = ScalarMappable(Normalize(*scale), COLOURMAP)
        part.colorbar(bar, ax=axes.ravel().tolist(), shrink=0.8, label="anomaly map")
    return figure


def save_figure(
    figure: Figure, path: Path, *, dots_per_inch: int = DOTS_PER_INCH
) -> None:
    """Write a figure as a PNG of the same bytes whenever it is drawn again.

    Args:
        figure: As any function of this package gave it.
        path: The PNG file, which is replaced if it is there; the folder must exist.
        dots_per_inch: Resolution.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.metrics._image_metrics import Confusion
        >>> from adlib.report import confusion_figure, save_figure
        >>> figure = confusion_figure({"PatchCore": Confusion(18, 2, 1, 9)}, "part")
        >>> with TemporaryDirectory() as folder:
        ...     save_figure(figure, Path(folder, "confusion.png"))
        ...     Path(folder, "confusion.png").read_bytes()[1:4]
        b'PNG'
    """
    figure.savefig(path, dpi=dots_per_inch, format="png", metadata={"Software": None})


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that lays itself out."""
    with needs_report_extra("A figure"):
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    return Figure(figsize=(width, height), layout="constrained")
