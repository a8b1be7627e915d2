"""Studies that come out otherwise, and what their report must and must not say."""

from __future__ import annotations

import re
from unittest.mock import patch

import pandas as pd
import pytest

from adlib.report._cited import Cited
from adlib.report._study_report import _Contents, _Picture
from tests.report.small_study import later_results, results, study
from tests.situations.situation import check, works

pytestmark = pytest.mark.slow

LOSS = {"value": -0.2, "low": -0.3, "high": -0.1, "p": 0.001}
GAIN = {"value": 0.2, "low": 0.1, "high": 0.3, "p": 0.001}
OPEN = {"value": 0.2, "low": -0.1, "high": 0.5, "p": 0.3}


def says(*said, sign=1, change=None, without=None, never=()):
    """Return a situation whose report says some things, and never says others.

    Args:
        *said: What it says.
        sign: Of all differences.
        change: The columns of rows to find, and what is put into them.
        without: The columns of rows that are left out.
        never: What it never says.
    """

    def does(place):
        figures = table(sign)
        if change is not None:
            where, new = change
            figures.loc[chosen(figures, where), list(new)] = list(new.values())
        if without is not None:
            figures = figures[~chosen(figures, without)]
        text = report(place.folder, figures)
        missing = [one for one in said if one not in text]
        wrong = [one for one in never if one in text]
        assert not missing, missing
        assert not wrong, wrong
        return True

    return works(does)


def table(sign):
    rows = [row for rows in results(sign).values() for row in rows]
    figures = pd.DataFrame(rows + later_results(0.1 * sign))
    figures[["setting", "versus"]] = figures[["setting", "versus"]].fillna("")
    number = ["value", "low", "high", "p"]
    return figures.astype(dict.fromkeys(number, float)).assign(file="file", row=1)


def chosen(figures, where):
    rows = pd.Series(True, index=figures.index)
    for column, pattern in where.items():
        rows &= figures[column].str.fullmatch(pattern)
    return rows


def report(folder, figures):
    """Return the words of the page; figures are not drawn, which takes seconds."""
    outputs = study(folder / "study", 1)

    def drawn(self, name, how, rows, **options):
        return _Picture(name, f"{name}.png", 100, "")

    with patch.object(_Contents, "drawn", drawn):
        page = _Contents(outputs, folder, Cited(figures)).rendered("report.html")
    text = re.sub(r"<[^>]*>", "", page.split("</style>")[1])
    return " ".join(text.split())


SHIFTED = {"condition": "shifted", "versus": "clean", "metric": "auroc"}
BETTER = {"condition": "clean", "versus": "PaDiM"}
SHORTCUT = {"setting": "shortcut", "versus": "own entries"}
CHOICE = {"versus": "configured"}

SITUATIONS = {
    "one method is better": says(
        "PatchCore ranks images better on bolt and nut",
        never=["PaDiM ranks images better", "no difference between"],
    ),
    "the other method is better": says(
        "PaDiM ranks images better on bolt and nut",
        sign=-1,
        never=["PatchCore ranks images better"],
    ),
    "one method is better before Holm's correction alone": says(
        "on clean test images no difference between PatchCore and PaDiM is",
        change=(BETTER | {"setting": "Holm"}, {"p": 0.06}),
    ),
    "there is no spread to test a difference by": says(
        "on clean test images no difference between PatchCore and PaDiM is",
        "p not defined",
        change=(BETTER, dict.fromkeys(("low", "high", "p"), float("nan"))),
    ),
    "the shift lowers every AUROC": says(
        "From clean to shifted images, AUROC falls for 4 of 4 models",
        never=["From clean to shifted images, AUROC rises"],
    ),
    "the shift raises every AUROC": says(
        "From clean to shifted images, AUROC rises for 4 of 4 models",
        change=(SHIFTED, GAIN),
        never=["From clean to shifted images, AUROC falls"],
    ),
    "no change by the shift is shown": says(
        "no change of AUROC is shown for any of the 4 models",
        change=(SHIFTED, OPEN),
        never=["From clean to shifted images, AUROC", "as good as"],
    ),
    "one model alone suffers": says(
        "From clean to shifted images, AUROC falls for 3 of 4 models, no change of "
        "AUROC is shown for 1 of 4 models",
        change=(SHIFTED | {"class": "bolt", "method": "PaDiM"}, OPEN),
    ),
    "a new threshold costs F1": says(
        "F1 falls for 4 of 4 models",
        change=({"condition": "shifted, new threshold", "metric": "f1"}, LOSS),
    ),
    "the loss stays after retraining": says(
        "Against clean models on clean images, AUROC falls for 4 of 4 models",
    ),
    "retraining wins everything back": says(
        "Against clean models on clean images, AUROC rises for 4 of 4 models", sign=-1
    ),
    "nothing was done without labels": says(
        "compares retraining",
        change=({"metric": "n_labelled"}, {"value": 20.0}),
        never=["Of the ways without"],
    ),
    "the clean threshold is no way to adapt": says(
        "the highest F1 is that of moved for PatchCore on bolt (0.700)",
        never=["that of clean threshold"],
    ),
    "no t-test over classes was made": says(
        "Intervals and tests cover the choice of test images alone. ",
        without={"setting": "t-test"},
    ),
    "other classes help": says("they raise AUROC on bolt (+0.100"),
    "there is a shortcut": says(
        "they lower AUROC on bolt (\N{MINUS SIGN}0.200",
        change=(SHORTCUT, LOSS),
        never=["they raise AUROC"],
    ),
    "no shortcut is shown": says(
        "no change of AUROC by them is shown on",
        change=(SHORTCUT, OPEN),
        never=["they lower AUROC", "they raise AUROC", "no such shortcut"],
    ),
    "there is no model for all classes": says(
        "Retrained",
        without={"condition": "global.*"},
        never=["One model for all", "shortcut"],
    ),
    "there are no masks": says("average precision", never=["compares the ranking of"]),
    "errors come together": says("more images are wrong for both", "(3 against 1.5)"),
    "errors are independent but for what is not printed": says(
        "no more images are wrong for both",
        "(3 against 3.0)",
        change=({"setting": "both wrong if independent"}, {"value": 2.96}),
        never=["clean images more images are"],
    ),
    "errors are independent": says(
        "no more images are wrong for both",
        change=({"setting": "both wrong"}, {"value": 1.0}),
        never=["clean images more images are"],
    ),
    "there are too few errors": says(
        "too few errors on clean images",
        without={"setting": "pattern.*"},
        never=["rank tests"],
    ),
    "errors have something in common": says(
        "missed: brightness 0.500 in 30 images against 0.500 in 30 predicted rightly "
        "(p = 0.010)"
    ),
    "no pattern of errors is shown": says(
        "None is.",
        change=({"setting": "pattern (missed|false alarm)"}, {"p": 0.5}),
        never=["Below that"],
    ),
    "a choice loses": says(
        "A change of AUROC is shown for 4 of 4 choices",
        "another coreset ratio AUROC falls for 4 of 4 comparisons",
        change=(CHOICE, LOSS),
    ),
    "no choice is shown to matter": says(
        "A change of AUROC is shown for 0 of 4 choices",
        "no change of AUROC is shown for any of the 4 comparisons",
        change=(CHOICE, OPEN),
        never=["The largest:", "changes nothing"],
    ),
    "a part of the shift hurts": says(
        "AUROC falls furthest, against images that were not shifted, with rotation",
        "A loss is shown for 4 of these 4",
        sign=-1,
    ),
    "no part of the shift lowers AUROC": says("No part lowers AUROC."),
    "one stage takes more than half of the time": says(
        "backbone for PatchCore on bolt (60 %)"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
