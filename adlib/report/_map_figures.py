"""Images with their maps: what was found, missed and wrongly called."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib._typing import BoolArray, Float32Array, Float64Array
from adlib.report._figures import new_figure
from adlib.report._missing import needs_report_extra
from adlib.report._overlay import COLOURMAP, overlay
from adlib.report._picture_grid import PANEL, draw_outline, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MapExample(NamedTuple):
    """An image and its anomaly map.

    Attributes:
        pixels: (height, width) or (height, width, 3) float32 in [0, 1].
        anomaly_map: (map_height, map_width) float32, stretched over the image.
        mask: What is outlined, (height, width), as large as the image; None: nothing.
        title: Above it.
    """

    pixels: Float32Array
    anomaly_map: Float32Array
    mask: BoolArray | None
    title: str


def certain_and_uncertain(
    scores: Float64Array, anomalous: BoolArray, threshold: float, n_most: int
) -> dict[str, list[int]]:
    """Return which images were judged rightly and wrongly, most and least certainly.

    The further a score is from the threshold, the more certain is the verdict.

    Args:
        scores: (n_images,), higher = more anomalous.
        anomalous: (n_images,), True anomalous.
        threshold: Above it an image is called anomalous.
        n_most: Images under each heading, at most; of equal ones the first. No image
            stands under two.

    Returns:
        Positions by heading: found, most certain first and least certain first; missed
        and falsely called, most certain first; good, as the found.

    Example:
        >>> import numpy as np
        >>> from adlib.report import certain_and_uncertain
        >>> scores = np.array([1.0, 2.0, 4.0, 3.5, 2.5])
        >>> anomalous = np.array([False, False, False, True, True])
        >>> found = certain_and_uncertain(scores, anomalous, 3.0, 5)
        >>> found["found, certain"], found["missed"], found["false alarm"]
        ([3], [4], [2])
    """
    distance = np.abs(scores - threshold)
    called = scores > threshold

    def listed(chosen: BoolArray) -> list[int]:
        """Return all that are chosen, most certain first."""
        places = np.flatnonzero(chosen)
        return list(map(int, places[np.argsort(-distance[places], kind="stable")]))

    found, good = listed(anomalous & called), listed(~anomalous & ~called)
    return {
        "found, certain": found[:n_most],
        "found, just": found[n_most:][-n_most:][::-1],
        "missed": listed(anomalous & ~called)[:n_most],
        "false alarm": listed(~anomalous & called)[:n_most],
        "good, just": good[n_most:][-n_most:][::-1],
        "good, certain": good[:n_most],
    }


def map_grid(
    rows: Sequence[tuple[str, Sequence[MapExample]]],
    scale: tuple[float, float],
    title: str,
) -> Figure:
    """Draw images and, beneath each, its map over it, all on one scale.

    Args:
        rows: A heading and examples each; without examples it says "none".
        scale: Map values where colour sets in, and from which on it is strongest.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import MapExample, map_grid
        >>> pixels = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        >>> example = MapExample(pixels, pixels, pixels > 0.9, "crack")
        >>> rows = [("found", [example]), ("missed", [])]
        >>> figure = map_grid(rows, (0.0, 1.0), "part")
        >>> len(figure.axes)  # image, map, "none" and the colour bar
        4
    """
    with needs_report_extra("A figure"):
        from matplotlib.cm import ScalarMappable  # noqa: PLC0415 - optional
        from matplotlib.colors import Normalize  # noqa: PLC0415
    n_columns = max(1, *(len(examples) for _, examples in rows))
    heights = [h for _, examples in rows for h in ((1, 1) if examples else (0.25,))]
    figure = new_figure(PANEL * n_columns + 0.5, (PANEL + 0.16) * sum(heights) + 0.9)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    # The colour bar has a row of its own: matplotlib would put it lower by a share of
    # the whole grid's height.
    places = figure.add_gridspec(
        len(heights) + 1, n_columns, height_ratios=[*heights, 0.06]
    )
    grid = [
        [figure.add_subplot(places[line, column]) for column in range(n_columns)]
        for line in range(len(heights))
    ]
    for axes in chain.from_iterable(grid):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    lines = iter(grid)
    for heading, examples in rows:
        upper = next(lines)
        upper[0].set_ylabel(heading, fontsize=9, fontweight="bold")
        if not examples:
            upper[0].set_ylabel(heading, rotation=0, ha="right", va="center")
            upper[0].text(0.02, 0.5, "none", fontsize=9, va="center")
            continue
        lower = next(lines)
        for column, example in enumerate(examples):
            drawn = overlay(example.pixels, example.anomaly_map, *scale)
            upper[column].imshow(example.pixels, cmap="gray", vmin=0, vmax=1)
            lower[column].imshow(drawn)
            upper[column].set_title(shortened(example.title), fontsize=8)
            if example.mask is not None:
                draw_outline(upper[column], example.mask)
                draw_outline(lower[column], example.mask)
    figure.set_layout_engine("constrained", h_pad=0.03, hspace=0.0)
    figure.colorbar(
        ScalarMappable(Normalize(*scale), COLOURMAP),
        cax=figure.add_subplot(places[-1, :]),
        label="anomaly map",
        location="bottom",
        extend="max",
    )
    return figure
