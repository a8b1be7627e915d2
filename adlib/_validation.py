"""Check arguments in one place, with errors of one form.

A message names the parameter and who owns it, the rule, what came, and, where it helps,
what to do about it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TypeVar

import numpy as np

Option = TypeVar("Option", bound=str)
LONGEST_VALUE = 80  # characters of a value that a message shows
HIGHEST_SEED = 2**63 - 1  # that torch takes


def describe(value: object) -> str:
    """Describe a value: itself if short, the shape and dtype of an array."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {dtype}"
    text = repr(value)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{type(value).__name__} {text[: LONGEST_VALUE - 3]}..."


def refusal(
    parameter: str, owner: str, rule: str, received: object, remedy: str = ""
) -> str:
    """Return an error's message: parameter, owner, rule, what came, remedy."""
    came = received if isinstance(received, str) else describe(received)
    message = f"{parameter} of {owner} must be {rule}; got {came}."
    return f"{message} {remedy}" if remedy else message


def check_int(
    value: object, parameter: str, owner: str, *, low: int, high: int | None = None
) -> int:
    """Return an integer of [low, high], or raise; a bool is no integer here."""
    rule = f"an integer of at least {low}"
    if high is not None:
        rule = f"an integer in [{low}, {high}]"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(refusal(parameter, owner, rule, describe(value)))
    number = int(value)
    if number < low or (high is not None and number > high):
        raise ValueError(refusal(parameter, owner, rule, describe(value)))
    return number


def check_ratio(value: object, parameter: str, owner: str, *, closed: bool) -> float:
    """Return a real number of (0, 1], or of (0, 1) where not ``closed``, or raise."""
    rule = "a number in (0, 1]" if closed else "a number in (0, 1)"
    return _real(
        value, parameter, owner, rule, lambda x: 0.0 < x < 1.0 or (closed and x == 1.0)
    )


def check_positive(value: object, parameter: str, owner: str) -> float:
    """Return a finite real number above 0, or raise."""
    rule = "a finite number above 0"
    return _real(value, parameter, owner, rule, lambda x: 0.0 < x < math.inf)


def check_finite(value: object, parameter: str, owner: str) -> float:
    """Return a finite real number, or raise."""
    return _real(value, parameter, owner, "a finite number", math.isfinite)


def check_range(
    value: object, parameter: str, owner: str, *, low: float, high: float
) -> tuple[float, float]:
    """Return two real numbers of [low, high] in ascending order, or raise."""
    rule = f"two numbers in [{low:g}, {high:g}], the lower one first"
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(refusal(parameter, owner, rule, describe(value)))
    numbers = [_real(x, parameter, owner, rule, lambda _: True) for x in value]
    if len(numbers) != 2 or not low <= numbers[0] <= numbers[1] <= high:  # noqa: PLR2004 - a pair
        raise ValueError(refusal(parameter, owner, rule, describe(value)))
    return numbers[0], numbers[1]


def _real(
    value: object, parameter: str, owner: str, rule: str, fits: Callable[[float], bool]
) -> float:
    """Return a real number that fits the rule, or raise; a bool is none here."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(refusal(parameter, owner, rule, describe(value)))
    try:
        number = float(value)
    except OverflowError:  # an integer of more digits than a float has
        number = math.inf
    if not fits(number):
        raise ValueError(refusal(parameter, owner, rule, describe(value)))
    return number


def check_option(
    value: object, parameter: str, owner: str, options: Sequence[Option]
) -> Option:
    """Return the option that ``value`` names, or raise with the list of them."""
    for option in options:
        if isinstance(value, str) and value == option:
            return option
    rule = "one of " + ", ".join(repr(option) for option in options)
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(refusal(parameter, owner, rule, describe(value)))


def check_bool(value: object, parameter: str, owner: str) -> bool:
    """Return a bool, or raise; 0 and 1 are refused because they hide typing errors."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(refusal(parameter, owner, "True or False", describe(value)))
    return bool(value)


def check_folder(value: object, parameter: str, owner: str) -> None:
    """Raise unless ``value`` is None or names a folder, which need not be there yet."""
    rule = "None or a folder"
    if value is not None and not isinstance(value, str | os.PathLike):
        raise TypeError(refusal(parameter, owner, rule, describe(value)))
    if value is not None and Path(value).exists() and not Path(value).is_dir():
        raise ValueError(refusal(parameter, owner, rule, describe(value)))


def check_random_state(value: object, parameter: str, owner: str) -> int | None:
    """Return a seed or None, or raise."""
    if value is None:
        return None
    seed = check_int(value, parameter, owner, low=0)  # alone, where that is broken
    return check_int(seed, parameter, owner, low=0, high=HIGHEST_SEED)


def check_coreset(value: object, parameter: str, owner: str) -> int | float:
    """Return a coreset's size as asked: a ratio in (0, 1] or a count of at least 1."""
    if isinstance(value, Integral):  # check_int refuses a bool
        return check_int(value, parameter, owner, low=1)
    rule = "a ratio in (0, 1] or a count of patches (an integer of at least 1)"
    return _real(value, parameter, owner, rule, lambda x: 0.0 < x <= 1.0)


def coreset_size(coreset: float | Integral, n_patches: int) -> int:
    """Return how many of ``n_patches`` a checked ``coreset`` selects, at least one."""
    if isinstance(coreset, Integral):  # NumPy's integers too
        return min(int(coreset), n_patches)
    return max(1, math.floor(float(coreset) * n_patches))


def check_image_size(value: object, parameter: str, owner: str) -> tuple[int, int]:
    """Return (height, width) from one side of a square or from a pair, or raise."""
    rule = "one side in pixels or a pair (height, width)"
    if isinstance(value, str):
        numbers = re.findall(r"\d+", value)
        pair = numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
        remedy = f"Pass {parameter}={pair}." if numbers else ""
        raise TypeError(refusal(parameter, owner, rule, describe(value), remedy))
    sides = value if isinstance(value, Sequence) else (value, value)
    if len(sides) != 2:  # noqa: PLR2004 - height and width
        raise ValueError(refusal(parameter, owner, rule, describe(value)))
    height, width = (check_int(side, parameter, owner, low=16) for side in sides)
    return height, width
