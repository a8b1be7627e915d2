"""What ``inspect``, ``explain`` and ``embeddings`` say about one image."""

from __future__ import annotations

from dataclasses import dataclass

from adlib._typing import Float32Array


@dataclass(frozen=True)
class Inspection:
    """One image, inspected.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        score: Image score, higher = more anomalous; NaN where the image was skipped.
        verdict: +1 normal, -1 anomalous, as ``predict`` has it (a skipped image is not
            known to be good: -1); None before ``calibrate``.
        map: Anomaly map, (height, width) float32, same direction as the score; None
            where the image was skipped.
        error: Why the image was skipped, or None.
    """

    path: str
    score: float
    verdict: int | None
    map: Float32Array | None
    error: str | None = None


@dataclass(frozen=True)
class Explanation:
    """The patch that looks most anomalous, and the good patch it was compared with.

    Attributes:
        path: The image.
        patch: (row, column) of the patch in the grid.
        distance: Its distance to the memory bank.
        compared_with: Path of the training image that the nearest bank entry is from.
        compared_patch: (row, column) of that entry in its image's grid.
    """

    path: str
    patch: tuple[int, int]
    distance: float
    compared_with: str
    compared_patch: tuple[int, int]


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """What a model sees of one image.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        position: Which image of the source it is.
        patches: (grid_height, grid_width, n_features) float32.
    """

    path: str
    position: int
    patches: Float32Array
