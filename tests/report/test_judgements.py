"""The words that judge: each follows from an interval, a p-value or a share."""

from __future__ import annotations

import pytest

from adlib.report.study_report._judgements import (
    difference_phrase,
    direction,
    open_cases,
    share_phrase,
    tally_phrase,
)
from adlib.report.study_report._study import Bounds

NOTHING, LOSS, GAIN = Bounds(0, -1, 1), Bounds(-2, -3, -1), Bounds(2, 1, 3)


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (0.1, 0.3, 0.01, 1),
        (-0.3, -0.1, 0.01, -1),
        (-0.1, 0.3, 0.01, 0),
        (0.0, 0.3, 0.01, 0),
        (0.0, 0.0, 0.01, 0),
        (0.1, 0.3, 0.05, 0),  # the interval alone is not corrected
        (0.1, 0.3, None, 0),
        (None, None, 0.01, 0),
    ],
)
def test_a_difference_is_shown_by_interval_and_p(low, high, p, expected):
    assert direction(low, high, p) == expected
    said = difference_phrase(low, high, p, more="more", less="less")
    assert said == {1: "more", -1: "less", 0: "no difference is shown"}[expected]


def test_an_interval_alone_can_show_a_difference():
    assert direction(0.1, 0.3) == 1


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([LOSS, GAIN], "F1 falls for 1 of 2 models and rises for 1 of 2 models"),
        ([LOSS] * 2, "F1 falls for all 2 models"),
        ([NOTHING] * 2, "no change of F1 is shown for any of the 2 models"),
        ([NOTHING], "no change of F1 is shown for the one model"),
        (
            [GAIN, NOTHING],
            "F1 rises for 1 of 2 models; no change of F1 is shown for 1 of 2 models",
        ),
    ],
)
def test_cases_without_a_shown_change_are_counted_too(differences, said):
    assert tally_phrase(differences, "F1", "models") == said


def test_cases_that_nothing_is_shown_for():
    found = [open_cases(n, 3, "cases") for n in (3, 2, 0)]
    assert found == ["any of the 3 cases", "2 of 3 cases", "no case"]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.41, "the largest share"), (0.504, "the largest share"), (0.51, "most")],
)
def test_most_is_more_than_half_as_it_is_printed(share, said):
    assert share_phrase(share) == said
