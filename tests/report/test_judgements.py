"""Sentences say what intervals and p-values show: each is read with figures flipped."""

from __future__ import annotations

import math

import pytest

from adlib.report._cited import p_text
from adlib.report._sentences import (
    direction,
    listed,
    methods_verdict,
    tally,
    verdict,
)

NAN = float("nan")


def row(value, low=NAN, high=NAN, p=NAN, name="bolt"):
    return {"value": value, "low": low, "high": high, "p": p, "class": name}


def flipped(of):
    return of | {"value": -of["value"], "low": -of["high"], "high": -of["low"]}


@pytest.mark.parametrize(
    ("of", "sign"),
    [
        (row(0.1, 0.02, 0.2), 1),
        (row(0.1, 0.02, 0.2, 0.01), 1),
        (row(0.1, 0.02, 0.2, 0.2), 0),  # not below 0.05 once corrected
        (row(0.1, -0.02, 0.2, 0.01), 0),
        (row(0.1, 0.0, 0.2), 0),  # an interval that touches 0 holds it
        (row(0.0, 0.0, 0.0, 1.0), 0),
        (row(0.1, p=0.01), 1),
        (row(0.1, p=0.05), 0),
        (row(0.1), 0),  # nothing says how sure it is
        (row(NAN, p=NAN), 0),
    ],
)
def test_a_difference_is_shown_by_all_that_there_is(of, sign):
    assert direction(of) == sign
    assert direction(flipped(of)) == -sign


def test_a_verdict_follows_the_sign_and_turns_with_it():
    said = ("more", "less", "not shown")
    assert verdict(row(0.1, 0.05, 0.2), *said) == "more"
    assert verdict(flipped(row(0.1, 0.05, 0.2)), *said) == "less"
    assert verdict(row(0.1, -0.05, 0.2), *said) == "not shown"


def test_a_tally_counts_every_model_once_and_turns_with_the_figures():
    rows = [row(0.1, 0.05, 0.2), row(-0.1, -0.2, -0.05), row(-0.1, -0.2, 0.1)]
    rows.append(row(-0.3, -0.4, -0.2))
    text = tally(rows, "AUROC")
    assert text == (
        "AUROC falls for 2 of 4 models, AUROC rises for 1 of 4 models, no change of "
        "AUROC is shown for 1 of 4 models"
    )
    turned = tally([flipped(one) for one in rows], "AUROC")
    assert "AUROC falls for 1 of 4" in turned
    assert "AUROC rises for 2 of 4" in turned


def test_a_tally_of_nothing_shown_claims_nothing():
    text = tally([row(0.3, -0.1, 0.7), row(-0.3, -0.7, 0.1)], "AUROC")
    assert text == "no change of AUROC is shown for any of the 2 models"


def test_the_methods_verdict_names_each_class_with_the_right_method():
    rows = [
        row(0.1, 0.05, 0.2, 0.01, "a"),
        row(-0.1, -0.2, -0.05, 0.01, "b"),
        row(0.1, 0.05, 0.2, 0.3, "c"),
    ]
    assert methods_verdict(rows, "PatchCore", "PaDiM", "on clean images") == (
        "By AUROC, on clean images PatchCore ranks images better on a, PaDiM ranks "
        "images better on b, no difference between PatchCore and PaDiM is shown on c."
    )
    turned = methods_verdict([flipped(one) for one in rows], "PatchCore", "PaDiM", "")
    assert "PatchCore ranks images better on b" in turned
    assert "PaDiM ranks images better on a" in turned


def test_small_words():
    assert p_text(0.0294) == "p = 0.029"
    assert p_text(0.00001) == "p < 0.001"
    assert p_text(math.nan) == "p not defined"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
