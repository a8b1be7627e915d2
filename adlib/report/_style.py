"""How figures look: drawn at the size of print, with letters of 7 to 9 points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from adlib._files import replacing
from adlib.overlays._overlay import BLUE, ORANGE

WIDTH = 6.7  # inches: the text of the report, which no figure is wider than
DOTS_PER_INCH = 250
# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "legend.frameon": False,
    "figure.titlesize": 9.5,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 4,
    "lines.linewidth": 1.3,
}


def new_figure(height: float, width: float = WIDTH, title: str = "") -> Figure:
    """Return an empty figure of a size in inches that lays itself out."""
    figure = Figure(figsize=(min(width, WIDTH), height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, the same bytes whenever it is drawn again.

    Args:
        figure: As any function of this package returns it.
        path: The PNG file, which is replaced if it is there; its folder is made.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from matplotlib.figure import Figure
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.report import save_figure
        >>> with TemporaryDirectory() as folder:
        ...     save_figure(Figure(), Path(folder, "new", "part.png"))
        ...     Path(folder, "new", "part.png").read_bytes()[1:4]
        b'PNG'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Ticks are made while a figure is written, in the style of that moment.
    with rc_context(STYLE), replacing(path) as temporary:
        metadata = {"Software": None}
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata=metadata)
