"""Check labels, scores and maps in one place."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from adlib._masks import count_values, marked_pixels, numbers_kinds
from adlib._typing import AnyArray, BoolArray, Float32Array, Float64Array
from adlib._validation import describe, refusal

PLANE = 2  # dimensions of a map
UNKNOWN = 255  # MVTecDataset: an anomalous image without a mask


def check_labels_and_scores(
    y_true: Any,
    scores: Any,
    owner: str,
    *,
    fewest: int = 1,
    parameter: str = "scores",
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
    remedy = "Pass mask > 0.5 or mask > 127, or what read_mask gives."
    if not (low >= 0 and high < np.inf and whole and numbers_kinds(values)):
        came = f"{values.dtype} from {low:g} to {high:g}"
        if whole and low >= 0:
            came = f"{count_values(values)} different values from {low:g} to {high:g}"
        raise ValueError(refusal(parameter, owner, rule, came, remedy))
    if 0 < low < high:
        came = f"no 0 in {low:g} to {high:g}"
        raise ValueError(refusal(parameter, owner, rule, came, f"Pass mask > {low:g}."))
    if low == high == UNKNOWN:
        came = f"{UNKNOWN} all over, as where nobody drew a mask"
        remedy = "Leave the image out; if the defect fills it, pass mask > 0."
        raise ValueError(refusal(parameter, owner, rule, came, remedy))
    return marked_pixels(values)


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
