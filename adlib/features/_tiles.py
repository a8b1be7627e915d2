"""Feature maps of large images by tiles, in the memory of one tile.

A value of a feature map depends on pixels near it alone, so that overlapping tiles,
computed one after the other, have the values of the whole image where they do not end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from math import ceil
from typing import NamedTuple

import torch
from torch import nn

from adlib._torch import undisturbed

MOST_PIXELS = 3 * 2**19  # of an image that is computed as a whole: 1254 x 1254
PROBES = (256, 512, 1024)  # sides of images on which a network's reach is measured
MOST_TILES = 64  # along a side


@undisturbed()
def reach(network: nn.Module, strides: Sequence[int]) -> int | None:
    """Return how many pixels away a value of a network's maps can depend on.

    Measured with a patch of pixels that are no numbers: what depends on them is no
    number either. A multiple of the largest stride; None where values depend on the
    whole image, as with attention.

    Args:
        network: Maps (1, 3, height, width) to the maps of its stages, on the CPU.
        strides: Those of the stages.
    """
    step = max(strides)
    for side in PROBES:
        middle = side // 2 // step * step
        probe = torch.zeros((1, 3, side, side), dtype=torch.float32, device="cpu")
        probe[:, :, middle : middle + step, middle : middle + step] = torch.nan
        farthest = 0
        for stage, stride in zip(network(probe), strides, strict=True):
            touched = stage.isnan().any(dim=1)[0].nonzero() * stride
            if not len(touched):
                return None  # it hides what is no number
            first, last = int(touched.min()), int(touched.max()) + stride
            if first == 0 or last >= side:
                farthest = side
            farthest = max(farthest, middle - first, last - middle)
        if farthest < side:
            return ceil(farthest / step) * step
    return None


class Cut(NamedTuple):
    """One tile along one side: what is computed, and what of it is kept."""

    start: int
    stop: int
    first: int
    last: int


def cuts(length: int, n_tiles: int, margin: int, step: int) -> list[Cut] | None:
    """Return tiles of one length along a side, or None where so many do not fit.

    All starts are multiples of ``step``, and no value that is kept lies within
    ``margin`` of a tile's end, except where the image ends.
    """
    if n_tiles == 1:
        return [Cut(0, length, 0, length)]
    tile = ceil((length + (n_tiles - 1) * (2 * margin + step)) / n_tiles / step) * step
    tile += (length - tile) % step  # so that the last starts at a multiple, too
    if tile >= length:
        return None
    most = (length - tile) // step
    starts = [i * most // (n_tiles - 1) * step for i in range(n_tiles)]
    between = [0]
    for start, following in pairwise(starts):
        between.append((following + start + tile) // 2 // step * step)
    between.append(length)
    found = []
    for start, (first, last) in zip(starts, pairwise(between), strict=True):
        if (start > 0 and first - start < margin) or (
            start + tile < length and start + tile - last < margin
        ):
            return None
        found.append(Cut(start, start + tile, first, last))
    return found


def plan(
    size: tuple[int, int], margin: int, step: int, most_pixels: int = MOST_PIXELS
) -> list[tuple[Cut, Cut]]:
    """Return the tiles of an image that compute least, none above ``most_pixels``.

    Where even small tiles are larger, since the network sees far: the smallest.
    """
    ways = [
        [cuts(length, count, margin, step) for count in range(1, MOST_TILES + 1)]
        for length in size
    ]
    plans = []
    for rows, columns in product(*ways):
        if rows is None or columns is None:
            continue
        pixels = (rows[0].stop - rows[0].start) * (columns[0].stop - columns[0].start)
        fits = pixels <= most_pixels
        n_tiles = len(rows) * len(columns)
        # First by whether it fits, then by all that is computed, or by one tile.
        order = (not fits, pixels * n_tiles if fits else pixels)
        plans.append((order, rows, columns))
    _, rows, columns = min(plans, key=lambda one: one[0])
    return list(product(rows, columns))


def by_tiles(
    run: Callable[[torch.Tensor], list[torch.Tensor]],
    images: torch.Tensor,
    strides: Sequence[int],
    tiles: Sequence[tuple[Cut, Cut]],
) -> list[torch.Tensor]:
    """Return the maps that ``run`` gives of images, computed tile by tile."""
    height, width = images.shape[-2:]
    whole: list[torch.Tensor] = []
    for rows, columns in tiles:
        part = images[:, :, rows.start : rows.stop, columns.start : columns.stop]
        maps = run(part)
        if not whole:
            whole = [
                one.new_empty(
                    (*one.shape[:2], ceil(height / stride), ceil(width / stride))
                )
                for one, stride in zip(maps, strides, strict=True)
            ]
        for made, one, stride in zip(whole, maps, strides, strict=True):
            top, left = rows.first // stride, columns.first // stride
            bottom = ceil(rows.last / stride)
            right = ceil(columns.last / stride)
            row, column = rows.start // stride, columns.start // stride
            made[:, :, top:bottom, left:right] = one[
                :, :, top - row : bottom - row, left - column : right - column
            ]
    return whole
