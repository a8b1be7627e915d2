"""Which good patches answer for the patches of an image, as tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adlib._typing import Float32Array
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.report._figures import ORANGE, new_figure
from adlib.report._matrix_figure import Matrix, matrix_figure
from adlib.report._picture_grid import PANEL, draw_outline, shortened
from adlib.study import Masks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adlib.datasets import Sample
    from adlib.estimators._results import Explanation
    from adlib.study import NeighbourShares

SIDE = 320  # pixels of an image in a picture
ZOOM = 5  # patches that a close-up is wide


def neighbour_figure(found: Sequence[NeighbourShares], title: str) -> Figure:
    """Draw whose bank entries answer for whose patches, one panel for each kind.

    Args:
        found: Shares of some classes, all over the same bank.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from adlib.report import neighbour_figure
        >>> from adlib.study import NeighbourShares
        >>> found = [
        ...     NeighbourShares("a", "normal", 100, {"a": 0.9, "b": 0.1}),
        ...     NeighbourShares("a", "worst", 5, {"a": 0.8, "b": 0.2})]
        >>> len(neighbour_figure(found, "Whose patches answer").axes)
        2
    """
    kinds = list(dict.fromkeys(one.kind for one in found))
    headings = {
        "normal": "patches of normal images",
        "defect": "patches under the masks",
        "worst": "highest patch of each anomaly",
    }
    names = list(found[0].shares)
    matrices = []
    for kind in kinds:
        rows = [one for one in found if one.kind == kind]
        shares = np.array([[row.shares[name] for name in names] for row in rows])
        classes = [row.class_name for row in rows]
        matrices.append(Matrix(headings[kind], classes, names, shares))
    return matrix_figure(
        matrices,
        title,
        xlabel="class of the nearest entry",
        ylabel="class of the test image",
    )


def explanation_figure(
    explained: Sequence[tuple[Sample, Explanation]],
    grid: tuple[int, int],
    title: str,
) -> Figure:
    """Draw the patch that stands out beside the good patch that is nearest to it.

    A line for each image: the image with the patch framed and the mask outlined, the
    patch and what surrounds it, the nearest entry and what surrounds it, and the
    training image that the entry came from.

    Args:
        explained: Images, at least one, with what ``PatchCore.explain`` says of them.
        grid: (height, width) of the patch grid.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImageError: An image or mask is unusable.
        ImportError: The extra ``report`` is not installed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.estimators._results import Explanation
        >>> from adlib.report import explanation_figure
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "0.png")
        ...     Image.new("L", (64, 64), 128).save(path)
        ...     sample = Sample(path, 0, "good", None, "part", "test")
        ...     explanation = Explanation(str(path), (0, 0), 1.5, str(path), (4, 4))
        ...     figure = explanation_figure([(sample, explanation)], (8, 8), "part")
        >>> figure.axes[1].get_title()
        'distance 1.5'
    """
    headings = ("image", "its highest patch", "nearest good patch", "came from")
    figure = new_figure(4 * PANEL + 0.3, (PANEL + 0.22) * len(explained) + 0.6)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    panels = figure.subplots(len(explained), 4, squeeze=False)
    for line, (sample, one) in zip(panels, explained, strict=True):
        pixels, source = _square(sample.image_path), _square(Path(one.compared_with))
        line[0].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        draw_outline(line[0], Masks([sample], (SIDE, SIDE))[0])
        _frame(line[0], one.patch, grid)
        _close_up(line[1], pixels, one.patch, grid)
        _close_up(line[2], source, one.compared_patch, grid)
        line[3].imshow(source, cmap="gray", vmin=0, vmax=1)
        _frame(line[3], one.compared_patch, grid)
        name = f"{sample.class_name}, {sample.defect_type}"
        line[0].set_title(shortened(name), fontsize=8)
        line[1].set_title(f"distance {one.distance:.3g}", fontsize=8)
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, heading in zip(panels[-1], headings, strict=True):
        axes.set_xlabel(heading, fontsize=8)
    return figure


def _square(path: Path) -> Float32Array:
    """Return an image as the network sees its shape, square."""
    return resize(as_pixels(read_image(path), str(path)), (SIDE, SIDE))


def _corner(patch: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    return SIDE * patch[1] / grid[1] - 0.5, SIDE * patch[0] / grid[0] - 0.5


def _frame(axes: Axes, patch: tuple[int, int], grid: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - optional

    size = SIDE / grid[1], SIDE / grid[0]
    corner = _corner(patch, grid)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=ORANGE, lw=1.6))


def _close_up(
    axes: Axes, pixels: Float32Array, patch: tuple[int, int], grid: tuple[int, int]
) -> None:
    """Show a patch in the middle of what surrounds it, as far as the image goes."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    x, y = _corner(patch, grid)
    width, height = SIDE / grid[1], SIDE / grid[0]
    x0 = min(max(x - width * (ZOOM // 2), -0.5), SIDE - 0.5 - ZOOM * width)
    y0 = min(max(y - height * (ZOOM // 2), -0.5), SIDE - 0.5 - ZOOM * height)
    axes.set_xlim(x0, x0 + ZOOM * width)
    axes.set_ylim(y0 + ZOOM * height, y0)
    _frame(axes, patch, grid)
