"""Every public name says what it takes, gives and refuses, and shows it."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import ArrayLike

from adlib._validation import check_int
from tests import docstring_rules as rules

ROOMS = (
    "adlib",
    "adlib.images",
    "adlib.datasets",
    "adlib.features",
    "adlib.neighbors",
    "adlib.estimators",
    "adlib.anomalib",
    "adlib.metrics",
    "adlib.thresholds",
    "adlib.pod",
    "adlib.overlays",
    "adlib.study",
    "adlib.report",
    "adlib.exceptions",
)
# What no example can show offline and within a second or so.
NO_EXAMPLE = {
    "demo_root": "draws a data set, for seconds",
    "download": "needs a network",
    "set_seed": "changes the whole process, and with it other tests",
    **dict.fromkeys(
        (
            "run_study",
            "write_study_report",
        ),
        "needs a data set on disk and a detector or a whole study",
    ),
}


def public_names(room: str) -> list[str]:
    """Return what a room offers; where it does not say, what is its own."""
    module = import_module(room)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == room
    ]


def breaches(room: str) -> list[str]:
    """Return all that is wrong with the docstrings of a room, one line each."""
    found: dict[str, None] = {}  # a base's method counts once
    for name in public_names(room):
        thing = getattr(import_module(room), name)
        if not str(getattr(thing, "__module__", "")).startswith("adlib"):
            continue  # a constant or an alias
        example = rules.needs_example(thing) and name not in NO_EXAMPLE
        if inspect.isclass(thing):
            lines = {name: list(rules.class_breaches(thing, example=example))}
            for owner, member_name, member in rules.members_of(thing):
                label = f"{owner.__name__}.{member_name}"
                lines[label] = list(rules.member_breaches(member))
        elif inspect.isfunction(thing):
            lines = {name: list(rules.function_breaches(thing, example=example))}
        else:
            continue
        for label, broken in lines.items():
            found.update(dict.fromkeys(f"{label}: {rule}" for rule in broken))
    return list(found)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_keep_the_rules(room):
    assert import_module(room).__doc__
    found = breaches(room)
    assert not found, "\n".join([f"{len(found)} breaches in {room}", *found])


def test_exemptions_can_only_shrink():
    things = {
        name: getattr(import_module(room), name)
        for room in ROOMS
        for name in public_names(room)
    }
    for name in NO_EXAMPLE:
        broken = list(rules.function_breaches(things[name], example=True))
        assert broken == ["no Example"], name


# What follows breaks one rule each.


def undocumented(x: int) -> None:
    del x


def too_long() -> None:
    """Say something in so many words that this first line has more than eighty letters.

    And more.
    """


def two_sentences() -> None:
    """Say something. Then say more."""


def missing_argument(x: int, y: int) -> None:
    """Do something.

    Args:
        x: A number.
    """
    del x, y


def invented_argument(x: int) -> None:
    """Do something.

    Args:
        x: A number.
        z: Another.
    """
    del x


def no_result(x: int) -> int:
    """Return something.

    Args:
        x: A number.
    """
    return x


def invented_result() -> None:
    """Do something.

    Returns:
        A number.
    """


def raises_silently() -> None:
    """Do something."""
    raise ValueError("of which the docstring says nothing")


def checks_silently(x: object) -> None:
    """Do something.

    Args:
        x: A number.
    """
    check_int(x, "x", "checks_silently", low=0)


def shapeless(x: ArrayLike) -> None:
    """Do something.

    Args:
        x: Some float numbers.
    """
    del x


def untyped(x: ArrayLike) -> None:
    """Do something.

    Args:
        x: Scores, (n_images,).
    """
    del x


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (undocumented, "no docstring"),
        (too_long, "first line is longer than 80"),
        (two_sentences, "first line is not one sentence"),
        (missing_argument, "y is missing in Args"),
        (invented_argument, "z of Args does not exist"),
        (no_result, "no Returns"),
        (invented_result, "Returns where nothing is returned"),
        (raises_silently, "no Raises"),
        (checks_silently, "no Raises"),
        (shapeless, "x is an array and states no shape"),
        (untyped, "x is an array and states no dtype"),
    ],
)
def test_each_breach_is_found(function, rule):
    assert list(rules.function_breaches(function, example=False)) == [rule]


class Record(NamedTuple):
    """Some numbers.

    Attributes:
        first: (n,).
        third: Not there.
    """

    first: np.ndarray
    second: int


class Maker:
    """Makes something.

    Args:
        x: A number.
    """

    def __init__(self, x: int, y: int) -> None:
        if x > y:
            raise ValueError("of which the docstring says nothing")

    @property
    def value(self) -> int:
        """A number. It is one."""
        return 1


def test_breaches_of_classes_are_found():
    assert list(rules.class_breaches(Record, example=False)) == [
        "second is missing in Attributes",
        "third of Attributes does not exist",
    ]
    assert list(rules.class_breaches(Maker, example=True)) == [
        "y is missing in Args",
        "no Raises",
        "no Example",
    ]
    assert list(rules.member_breaches(Maker.value)) == [
        "first line is not one sentence"
    ]


def test_a_name_that_only_holds_or_refuses_needs_no_example():
    assert not rules.needs_example(Record)
    assert not rules.needs_example(ValueError)
    assert rules.needs_example(Maker)
    assert rules.needs_example(undocumented)
