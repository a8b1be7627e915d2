"""What ``inspect``, ``explain`` and ``embeddings`` say about one image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from adlib._typing import Float32Array
from adlib.estimators._maps import stretched


class Short:
    """Results that are printed in one line, with the shapes of arrays alone."""

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        shown = [f"{name}={_text(v)}" for name, v in values.items() if v is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


@dataclass(frozen=True, repr=False)
class Inspection(Short):
    """One image, inspected.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        score: Image score, higher = more anomalous; NaN where the image was skipped.
        verdict: +1 normal, -1 anomalous, as ``predict`` has it (a skipped image is not
            known to be good: -1); None before ``calibrate``.
        map: Anomaly map, (height, width) float32, same direction as the score; None
            where the image was skipped.
        error: Why the image was skipped, or None.
        size: (height, width) of the image itself, as EXIF turns it upright; None where
            it was skipped.
        worst_pixel: (row, column) in the image itself of the centre of the patch with
            the highest score (of the map's highest value, where image scores are taken
            from the map); None where the image was skipped.
    """

    path: str
    score: float
    verdict: int | None
    map: Float32Array | None
    error: str | None = None
    size: tuple[int, int] | None = None
    worst_pixel: tuple[int, int] | None = None

    def full_map(self) -> Float32Array:
        """Return the map stretched to the image's own size, as overlays show it.

        Returns:
            ``size``, (height, width), float32.

        Raises:
            ValueError: The image was skipped.

        Example:
            >>> import numpy as np
            >>> from adlib import PatchCore
            >>> images = np.random.default_rng(0).random((3, 90, 50), dtype=np.float32)
            >>> model = PatchCore(image_size=64, coreset=0.5).fit(images)
            >>> (result,) = model.inspect(images[:1])
            >>> result.map.shape, result.full_map().shape
            ((64, 64), (90, 50))
        """
        if self.map is None:
            raise ValueError(f"There is no map of a skipped image: {self.error}")
        return stretched(self.map, self.size)


@dataclass(frozen=True, repr=False)
class Explanation(Short):
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


@dataclass(frozen=True, eq=False, repr=False)
class ImageEmbeddings(Short):
    """What a model sees of one image.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        position: Which image of the source it is.
        patches: (grid_height, grid_width, n_features) float32.
    """

    path: str
    position: int
    patches: Float32Array
