"""Check labels, scores, maps and masks in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from adlib._masks import count_values, marked_pixels, numbers_kinds
from adlib._typing import AnyArray, BoolArray, Float32Array, Float64Array, Int32Array
from adlib._validation import describe, refusal

PLANE = 2  # dimensions of a map
UNKNOWN = 255  # MVTecDataset: an anomalous image without a mask
EIGHT_CONNECTED = np.ones((3, 3), np.int8)  # pixels at a corner are one region


def check_labels_and_scores(
    y_true: Any, scores: Any, owner: str, *, fewest: int = 1, parameter: str = "scores"
) -> tuple[BoolArray, Float64Array]:
    """Return which images are anomalous, and their scores, or raise.

    There must be ``fewest`` images of each kind: none, one or two. ``owner`` and
    ``parameter`` are what errors call the function and the scores.
    """
    anomalous = check_labels(y_true, owner)
    values = check_scores(scores, parameter, owner)
    if len(values) != len(anomalous):
        rule = f"as long as y_true ({len(anomalous)})"
        raise ValueError(refusal(parameter, owner, rule, f"{len(values)}"))
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    if min(n_normal, n_anomalous) < fewest:
        rule = "with at least two normal and two anomalous images"
        came = f"{n_normal} and {n_anomalous}"
        if not n_normal or not n_anomalous:
            rule = "of both kinds, 0 (normal) and 1 (anomalous)"
            came = f"{'anomalous' if n_anomalous else 'normal'} ones alone"
        raise ValueError(refusal("y_true", owner, rule, came))
    return anomalous, values


def check_labels(values: Any, owner: str, parameter: str = "y_true") -> BoolArray:
    """Return which images are anomalous, or raise; see above."""
    rule = "(n,) labels, 0 (normal) or 1 (anomalous), not empty"
    labels = _numbers(values, 1, rule, parameter, owner)
    if not np.isin(labels, (0, 1)).all():
        found = ", ".join(map(str, np.unique(labels)[:5]))
        remedy = "Of scikit-learn's labels, +1 and -1, pass y == -1."
        raise ValueError(refusal(parameter, owner, rule, found, remedy))
    return labels.astype(np.bool_)


def check_scores(scores: Any, parameter: str, owner: str) -> Float64Array:
    """Return finite scores, (n,) float64, or raise; see above."""
    rule = "(n,) finite numbers, not empty"
    values = _numbers(scores, 1, rule, parameter, owner).astype(np.float64)
    _check_finite(values, rule, parameter, owner)
    return values


def check_number(value: Any, parameter: str, owner: str) -> float:
    """Return a real number that is not NaN, or raise; infinity is one here."""
    rule = "a number"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(refusal(parameter, owner, rule, describe(value)))
    number = float(value)
    if np.isnan(number):
        raise ValueError(refusal(parameter, owner, rule, describe(value)))
    return number


def check_map(
    anomaly_map: Any, number: int | None, parameter: str, owner: str
) -> Float32Array:
    """Return a map, (height, width) float32 and finite, or raise.

    ``number`` is which of the maps it is, for errors; None: there is only this.
    """
    rule = "finite (height, width) numbers"
    if number is not None:
        rule += f" for image {number}"
    values = _numbers(anomaly_map, PLANE, rule, parameter, owner)
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        values = np.ascontiguousarray(values, dtype=np.float32)
    _check_finite(values, rule, parameter, owner)
    return values


def check_mask(mask: Any, number: int | None, parameter: str, owner: str) -> BoolArray:
    """Return which pixels are anomalous, (height, width), or raise.

    A mask is bool, or whole numbers of which 0 is normal and each other a kind of
    defect: at most four different ones, or none above 63. ``number``: see
    ``check_map``.
    """
    rule = "(height, width) bool, or whole numbers, 0 where normal"
    if number is not None:
        rule += f", for image {number}"
    values = _numbers(mask, PLANE, rule, parameter, owner)
    if values.dtype.kind == "b":
        return np.asarray(values)
    low, high = values.min(), values.max()
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    if not (low >= 0 and high < np.inf and whole and numbers_kinds(values)):
        came = f"{values.dtype} from {low:g} to {high:g}"
        if whole and low >= 0:
            came = f"{count_values(values)} different values from {low:g} to {high:g}"
        remedy = "Pass mask > 0.5 or mask > 127, or what read_mask gives."
    elif 0 < low < high:
        came, remedy = f"no 0 in {low:g} to {high:g}", f"Pass mask > {low:g}."
    elif low == high == UNKNOWN:
        came = f"{UNKNOWN} all over, as where nobody drew a mask"
        remedy = "Leave the image out; if the defect fills it, pass mask > 0."
    else:
        return marked_pixels(values)
    raise ValueError(refusal(parameter, owner, rule, came, remedy))


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


def _numbers(
    value: Any, n_dimensions: int, rule: str, parameter: str, owner: str
) -> AnyArray:
    """Return real numbers or bool of so many dimensions, not empty, or raise."""
    values = np.asarray(value)
    if values.dtype.kind not in "buif":
        raise TypeError(refusal(parameter, owner, rule, describe(values)))
    if values.ndim != n_dimensions or not values.size:
        raise ValueError(refusal(parameter, owner, rule, describe(values)))
    return values


def _check_finite(values: AnyArray, rule: str, parameter: str, owner: str) -> None:
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        unit = " pixels" if values.ndim == PLANE else ""
        came = f"{n_bad} of {values.size}{unit} NaN or infinite"
        remedy = "Leave out images that were skipped."
        raise ValueError(refusal(parameter, owner, rule, came, remedy))
