"""Check labels and scores in one place."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from adlib._typing import BoolArray, Float64Array
from adlib._validation import describe, refusal


def check_labels_and_scores(
    y_true: Any, scores: Any, owner: str, *, both: bool = True
) -> tuple[BoolArray, Float64Array]:
    """Return which images are anomalous, and their scores, or raise.

    Args:
        y_true: (n,) bool, or numbers 0 (normal) and 1 (anomalous).
        scores: (n,) finite numbers, higher = more anomalous.
        owner: What errors call the function that was given them.
        both: There must be normal and anomalous ones.

    Raises:
        TypeError: They are not numbers.
        ValueError: Shapes differ, are not (n,), or empty; a label is neither 0 nor 1;
            a score is NaN or infinite; or one kind is missing where ``both`` are
            needed.
    """
    anomalous = check_labels(y_true, owner)
    values = check_scores(scores, "scores", owner)
    if len(values) != len(anomalous):
        rule = f"as long as y_true ({len(anomalous)})"
        raise ValueError(refusal("scores", owner, rule, f"{len(values)}"))
    if both and (anomalous.all() or not anomalous.any()):
        kind = "anomalous" if anomalous[0] else "normal"
        rule = "of both kinds, 0 (normal) and 1 (anomalous)"
        raise ValueError(refusal("y_true", owner, rule, f"{kind} ones alone"))
    return anomalous, values


def check_labels(values: Any, owner: str, parameter: str = "y_true") -> BoolArray:
    """Return which images are anomalous, or raise; see above."""
    labels = np.asarray(values)
    rule = "(n,) labels, 0 (normal) or 1 (anomalous), not empty"
    if labels.dtype.kind not in "buif":
        raise TypeError(refusal(parameter, owner, rule, describe(labels)))
    if labels.ndim != 1 or not len(labels):
        raise ValueError(refusal(parameter, owner, rule, describe(labels)))
    if not np.isin(labels, (0, 1)).all():
        found = ", ".join(map(str, np.unique(labels)[:5]))
        remedy = "Of scikit-learn's labels, +1 and -1, pass y == -1."
        raise ValueError(refusal(parameter, owner, rule, found, remedy))
    return labels.astype(np.bool_)


def check_scores(scores: Any, parameter: str, owner: str) -> Float64Array:
    """Return finite scores, (n,) float64, or raise; see above."""
    values = np.asarray(scores)
    rule = "(n,) finite numbers, not empty"
    if values.dtype.kind not in "buif":
        raise TypeError(refusal(parameter, owner, rule, describe(values)))
    if values.ndim != 1 or not len(values):
        raise ValueError(refusal(parameter, owner, rule, describe(values)))
    values = values.astype(np.float64)
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        remedy = "Leave out images that were skipped."
        came = f"{n_bad} of {len(values)} NaN or infinite"
        raise ValueError(refusal(parameter, owner, rule, came, remedy))
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


def check_callable(value: Any, parameter: str, owner: str) -> None:
    """Raise where a value is no function."""
    if not callable(value):
        raise TypeError(refusal(parameter, owner, "a function", describe(value)))
