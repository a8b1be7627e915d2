"""Maps with the regions of their masks, one at a time and as often as needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from adlib._typing import Float32Array, Int32Array
from adlib._validation import refusal
from adlib.metrics._checks import check_map, check_mask

# Pixels that touch at a corner are one region.
EIGHT_CONNECTED = np.ones((3, 3), np.int8)


class MaskedMap(NamedTuple):
    """A map, (height, width), and the regions of its mask, from 1 on; 0: normal."""

    scores: Float32Array
    regions: Int32Array
    n_regions: int


class MaskedMaps:
    """Checked maps with the regions of their masks, as often as they are asked for."""

    def __init__(
        self, masks_true: Iterable[Any], anomaly_maps: Iterable[Any], owner: str
    ) -> None:
        self._masks = as_sequence(masks_true)
        self._maps = as_sequence(anomaly_maps)
        self._owner = owner
        if len(self._masks) != len(self._maps):
            rule = f"as many as masks_true ({len(self._masks)})"
            raise ValueError(refusal("anomaly_maps", owner, rule, f"{len(self._maps)}"))

    def __len__(self) -> int:
        return len(self._maps)

    def __iter__(self) -> Iterator[MaskedMap]:
        return (self.image(number) for number in range(len(self)))

    def image(self, number: int) -> MaskedMap:
        """Return one image's map and regions, or raise."""
        scores = check_map(self._maps[number], number, "anomaly_maps", self._owner)
        mask = np.asarray(self._masks[number])
        if mask.shape != scores.shape:
            rule = f"as large as the mask of image {number}, {mask.shape}"
            came = str(scores.shape)
            raise ValueError(refusal("anomaly_maps", self._owner, rule, came))
        anomalous = check_mask(mask, number, "masks_true", self._owner)
        if not anomalous.any():
            return MaskedMap(scores, np.zeros(scores.shape, np.int32), 0)
        return MaskedMap(scores, *ndimage.label(anomalous, EIGHT_CONNECTED))


def as_sequence(images: Iterable[Any]) -> Sequence[Any]:
    """Return what can be read twice: a sequence as it is, others as a list."""
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return images  # type: ignore[return-value]
    return list(images)
