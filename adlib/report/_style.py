"""How figures look: drawn at the size of print, with letters of 7 to 9 points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from adlib._files import replacing
from adlib.report._missing import needs_report_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 6.7  # inches: the text of the report, which no figure is wider than
DOTS_PER_INCH = 180
BLUE, ORANGE = "#0072b2", "#d55e00"
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


def in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the report's style, or name the extra that it needs."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with needs_report_extra("A figure"):
            import matplotlib.figure  # noqa: PLC0415
            import pandas  # noqa: F401, PLC0415 - optional
            import seaborn  # noqa: F401, PLC0415
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH, title: str = "") -> Figure:
    """Return an empty figure of a size in inches that lays itself out."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

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
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from adlib.report import picture_grid, save_figure
        >>> figure = picture_grid({"part": [{"image": np.zeros((8, 8), "f4")}]})
        >>> with TemporaryDirectory() as folder:
        ...     save_figure(figure, Path(folder, "new", "part.png"))
        ...     Path(folder, "new", "part.png").read_bytes()[1:4]
        b'PNG'
    """
    from matplotlib import rc_context  # noqa: PLC0415 - optional

    path.parent.mkdir(parents=True, exist_ok=True)
    # Ticks are made while a figure is written, in the style of that moment.
    with rc_context(STYLE), replacing(path) as temporary:
        metadata = {"Software": None}
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata=metadata)
