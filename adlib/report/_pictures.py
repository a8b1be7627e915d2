"""Images in rows: with masks, with maps, and beside the patches that explain them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from adlib._typing import AnyArray, Float32Array
from adlib.datasets import Sample, read_mask
from adlib.estimators._results import Explanation
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.overlays import overlay
from adlib.overlays._overlay import ORANGE
from adlib.report._figures import STYLE, WIDTH, new_figure

SIDE = 320  # pixels of an image in a grid
ZOOM = 5  # patches that a close-up is wide
LARGEST, HEADING = 0.85, 0.3  # inches, of a picture and of the text at the left
LETTERS = 16  # of a line of a title, for each inch of a picture
TITLE_LETTER = 0.095  # inches, of the title above all
OUTLINE = "#56e0ff"

Picture = Mapping[str, Any]


@rc_context(STYLE)
def picture_grid(
    rows: Mapping[str, Sequence[Picture | None]], title: str = ""
) -> Figure:
    """Draw rows of pictures, each row with its heading at the left; None: no picture.

    A picture is a dictionary with "image" (a file, or float32 pixels in [0, 1]) and,
    where wanted, "title", "mask" (a file or bool array, outlined), "map" (laid over the
    image) with its "scale" (where colour begins and is strongest; by default the median
    and the maximum), "frame" ((row, column) of a patch, (height, width) of the grid)
    and "zoom" (True: the surroundings of the frame alone).
    """
    n_columns = max(len(pictures) for pictures in rows.values())
    side = min(LARGEST, (WIDTH - HEADING) / n_columns)
    longest = round(LETTERS * side)
    wrap = partial(textwrap.fill, width=longest, max_lines=2, placeholder="…")
    height = 0.3 * bool(title) + 0.1
    for pictures in rows.values():
        titles = [wrap(one.get("title", "")) for one in pictures if one]
        height += side + 0.2 + 0.11 * any("\n" in text for text in titles)
    width = max(side * n_columns + HEADING, TITLE_LETTER * len(title))
    figure = new_figure(height, width, title)
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for line, (heading, pictures) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(wrap(heading))
        for ax, picture in zip(line, pictures, strict=False):
            if picture is not None:
                _draw(ax, picture)
                ax.set_title(wrap(picture.get("title", "")), fontsize=7)
    return figure


def explanation_figure(
    explained: Sequence[tuple[Sample, Explanation]],
    grid: tuple[int, int],
    title: str = "",
) -> Figure:
    """Draw the highest patch of images beside the good patch that is nearest to it.

    A row an image: it, with its mask and the patch framed; the patch and the nearest
    good one, with their surroundings; and the training image of the latter.
    """
    rows: dict[str, list[Picture | None]] = {}
    for number, (sample, one) in enumerate(explained, 1):
        here, there = (one.patch, grid), (one.compared_patch, grid)
        image, source = sample.image_path, Path(one.compared_with)
        kind = f"{sample.class_name}, {sample.defect_type}"
        distance = f"distance {one.distance:.3g}"
        rows[f"image {number}"] = [
            {"image": image, "mask": sample.mask_path, "frame": here, "title": kind},
            {"image": image, "frame": here, "zoom": True, "title": distance},
            {"image": source, "frame": there, "zoom": True, "title": "nearest good"},
            {"image": source, "frame": there, "title": "it comes from"},
        ]
    return picture_grid(rows, title)


def _draw(ax: Axes, picture: Picture) -> None:
    """Draw a picture with what it asks for: map, outline of a mask, frame, close-up."""
    pixels = _square(picture["image"])
    shown: Float32Array | AnyArray = pixels
    if "map" in picture:
        values = np.asarray(picture["map"], np.float32)
        scale = picture.get("scale", (float(np.median(values)), float(values.max())))
        shown = np.asarray(overlay(pixels, values, *scale))
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1)
    mask = picture.get("mask")
    if mask is not None:
        marked = read_mask(mask) if isinstance(mask, str | os.PathLike) else mask
        marked = resize(np.asarray(marked, np.float32), (SIDE, SIDE)) > 0
        if marked.any() and not marked.all():
            ax.contour(marked, [0.5], colors="black", linewidths=1.8)
            ax.contour(marked, [0.5], colors=OUTLINE, linewidths=0.8)
    if "frame" not in picture:
        return
    patch, grid = picture["frame"]
    height, width = SIDE / grid[0], SIDE / grid[1]
    y, x = patch[0] * height - 0.5, patch[1] * width - 0.5
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=ORANGE, lw=1.4))
    if picture.get("zoom"):
        reach = ZOOM // 2
        left = min(max(x - width * reach, -0.5), SIDE - 0.5 - ZOOM * width)
        top = min(max(y - height * reach, -0.5), SIDE - 0.5 - ZOOM * height)
        ax.set_xlim(left, left + ZOOM * width)
        ax.set_ylim(top + ZOOM * height, top)


def _square(image: str | os.PathLike[str] | AnyArray) -> Float32Array:
    """Return an image as the network sees its shape, square."""
    if isinstance(image, str | os.PathLike):
        image = as_pixels(read_image(Path(image)), str(image))
    return resize(np.asarray(image, np.float32), (SIDE, SIDE))
