"""What stages respond to, what a score is made of, and patches in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adlib._typing import Float32Array, Float64Array
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.report._condition_figures import MARKERS
from adlib.report._figures import COLOURS, new_figure
from adlib.report._overlay import overlay
from adlib.report._picture_grid import Picture, picture_grid
from adlib.study import Masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adlib.datasets import Sample
    from adlib.study import DistanceShares, StageMaps

SIDE = 320  # pixels of an image in a picture


def stage_figure(found: Sequence[tuple[Sample, StageMaps]], title: str) -> Figure:
    """Draw what each stage responds to, and what it adds to the distances.

    Every picture has a scale of its own, from its median to its highest value: it shows
    where, not how much.

    Args:
        found: Images, at least one, each with its maps; a column an image.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImageError: An image or mask is unusable.
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.report import stage_figure
        >>> from adlib.study import StageMaps
        >>> values = np.random.default_rng(0).random((8, 8), dtype=np.float32)
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (64, 64), 128).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     maps = StageMaps(("stride 8",), (values,), (values,))
        ...     len(stage_figure([(sample, maps)], "Stages").axes)
        3
    """
    layers = found[0][1].layers
    samples = [sample for sample, _ in found]
    masks = Masks(samples, (SIDE, SIDE))
    pixels = [_square(sample) for sample in samples]
    rows: list[tuple[str, list[Picture | None]]] = [("image", [])]
    rows += [(f"response,\n{layer}", []) for layer in layers]
    rows += [(f"distance,\n{layer}", []) for layer in layers]
    for image, mask, (sample, maps) in zip(pixels, masks, found, strict=True):
        name = f"{sample.defect_type} {sample.image_path.stem}"
        rows[0][1].append(Picture(image, name, mask))
        for row, values in zip(
            rows[1:], (*maps.activations, *maps.distances), strict=True
        ):
            low, high = float(np.median(values)), float(values.max())
            glow = np.asarray(overlay(image, values, low, high), np.uint8)
            drawn = glow.astype(np.float32) / np.float32(255)
            row[1].append(Picture(drawn, "", mask))
    return picture_grid(rows, title)


def share_figure(found: Sequence[DistanceShares], title: str) -> Figure:
    """Draw what stages and features add to the highest patches' squared distances.

    Args:
        found: Shares of classes and kinds, all of the same stages.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import share_figure
        >>> from adlib.study import DistanceShares
        >>> stages = {"stride 8": 0.3, "stride 16": 0.7}
        >>> shares = DistanceShares("part", "normal", 9, stages, np.full(10, 0.1))
        >>> len(share_figure([shares], "Shares").axes)
        2
    """
    figure = new_figure(7.4, 1.0 + 0.34 * len(found) + 1.9)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    upper, lower = figure.subplots(2, 1, height_ratios=(0.34 * len(found) + 0.3, 1.9))
    names = [f"{one.class_name}, {one.kind} ({one.n_images})" for one in found]
    left = np.zeros(len(found))
    for number, stage in enumerate(found[0].stages):
        widths = np.array([one.stages[stage] for one in found])
        colour = COLOURS[number % len(COLOURS)]
        upper.barh(names, widths, left=left, color=colour, label=stage, height=0.65)
        for place, (start, width) in enumerate(zip(left, widths, strict=True)):
            centred = {"ha": "center", "va": "center", "fontsize": 8}
            middle = float(start + width / 2)
            upper.text(middle, place, f"{width:.0%}", color="white", **centred)
        left += widths
    upper.invert_yaxis()
    upper.set_xlim(0, 1)
    upper.set_xlabel("share of the squared distance", fontsize=8)
    upper.tick_params(labelsize=8)
    upper.legend(
        frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1)
    )
    for number, (name, one) in enumerate(zip(names, found, strict=True)):
        ordered = np.cumsum(np.sort(one.features)[::-1])
        places = np.arange(1, len(ordered) + 1)
        lower.plot(places, ordered, color=COLOURS[number % len(COLOURS)], label=name)
    even = np.linspace(0, 1, len(found[0].features))
    lower.plot(np.arange(1, len(even) + 1), even, color="0.75", lw=0.8, zorder=0)
    lower.set(xlim=(0, len(even)), ylim=(0, 1.02))
    lower.set_xlabel("features, those that carry most first", fontsize=8)
    lower.set_ylabel("share of the\nsquared distance", fontsize=8)
    lower.tick_params(labelsize=8)
    lower.legend(frameon=False, fontsize=7, loc="lower right")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plane_figure(
    planes: Sequence[tuple[str, Float64Array]], kinds: Sequence[str], title: str
) -> Figure:
    """Draw patches laid out in planes, by what they show.

    Args:
        planes: What each is called, and (n_patches, 2).
        kinds: Of each patch, what it shows.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> import numpy as np
        >>> from adlib.report import plane_figure
        >>> plane = np.array([[0.0, 0.0], [1.0, 1.0]])
        >>> figure = plane_figure([("t-SNE", plane)], ["normal", "defect"], "Patches")
        >>> figure.axes[0].get_title()
        't-SNE'
    """
    figure = new_figure(4.2 * len(planes), 4.4)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    shown = np.array(kinds)
    for axes, (name, plane) in zip(panels, planes, strict=True):
        for number, kind in enumerate(dict.fromkeys(kinds)):
            places = plane[shown == kind]
            axes.scatter(
                places[:, 0],
                places[:, 1],
                s=9,
                marker=MARKERS[number % len(MARKERS)],
                color=(COLOURS[0], COLOURS[5], COLOURS[1])[number % 3],
                linewidths=0,
                alpha=0.75,
                label=f"{kind} ({len(places)})",
            )
        axes.set(xticks=[], yticks=[], title=name)
        axes.title.set_size(9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        fontsize=8,
    )
    return figure


def _square(sample: Sample) -> Float32Array:
    path = sample.image_path
    return resize(as_pixels(read_image(path), str(path)), (SIDE, SIDE))
