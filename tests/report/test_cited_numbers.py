"""Numbers of the report: as printed, where they stand, and what is made of them."""

from __future__ import annotations

import csv
import json
from typing import NamedTuple

import pytest

from adlib.report.study_report import CitedNumbers
from adlib.report.study_report._cited_numbers import p_phrase
from adlib.report.study_report._comparisons import difference_sentence
from adlib.report.study_report._shift_sections import _adapted_text, _threshold_text
from adlib.report.study_report._study import Study, counted, listed

CONTENT = {
    "auroc": {"value": 0.97355, "low": 0.933, "high": None},
    "list": [{"difference": -0.31249, "low": -0.4, "high": -0.2}],
    "p": [0.0291, 0.00004, None],
    "images": {"good": 1000, "scratch": 17},
}


@pytest.fixture
def cite(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(CONTENT))
    return CitedNumbers(tmp_path)


def test_numbers_are_printed_and_noted(cite, tmp_path):
    assert cite.get("r.json", "auroc", "value") == "0.974"
    assert cite.get("r.json", "images", "scratch", form="d") == "17"
    changed = cite.interval("r.json", "list", 0, value="difference", form="+.3f")
    assert changed.replace("\N{MINUS SIGN}", "-") == "-0.312 [-0.400, -0.200]"
    assert cite.interval("r.json", "auroc", value="value") == "0.974"  # no bounds
    assert cite.p_value("r.json", "p", 0) == "0.029"
    assert cite.p_value("r.json", "p", 1) == "< 0.001"
    assert cite.p_value("r.json", "p", 2) == "\N{EN DASH}"
    total = cite.total("r.json", "images", names=["good", "scratch", "absent"])
    assert total == "1,017"
    cite.write(tmp_path / "numbers.csv")
    with (tmp_path / "numbers.csv").open(newline="") as file:
        rows = {row["place"]: row for row in csv.DictReader(file)}
    assert rows["list/0/low"]["value"] == "-0.4"
    assert rows["p/1"]["printed"] == "< 0.001"
    assert rows["images/good+scratch+absent"]["printed"] == "1,017"


def test_what_is_not_there_is_an_error(cite):
    with pytest.raises(KeyError):
        cite.get("r.json", "auprc")
    with pytest.raises(FileNotFoundError):
        cite.get("gone.json", "auroc")


def test_words_for_lists_and_counts():
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert counted(4, 4, "models") == "all 4 models"
    assert counted(0, 4, "models") == "no model"
    assert counted(1, 4, "models") == "1 of 4 models"
    assert counted(1, 1, "models") == "the one model"


def test_a_p_value_in_a_sentence():
    assert p_phrase("0.029") == "p = 0.029"
    assert p_phrase("< 0.001") == "p < 0.001"
    assert p_phrase("\N{EN DASH}") == "p not defined"


class Effect(NamedTuple):
    difference: float
    low: float
    high: float
    p: float


def study_with(folder, effect, f1=(0.0, 0.0)):
    """A study of one class whose methods differ by an effect."""
    results = folder / "results"
    results.mkdir()
    delong = {"difference": effect.difference, "low": effect.low, "high": effect.high}
    delong["p_value"] = effect.p
    changed = {"method": "PatchCore", "class_name": "screw", "n_images": 40}
    changed["figures"] = {"image_auroc": {**effect._asdict(), "before": 0, "after": 0}}
    means = {"image_auroc": 0.1, "image_f1": 0.0, "image_specificity": 0.0}
    content = {
        "methods": {"PatchCore": {"classes": {"screw": {}}}},
        "comparison": {
            "methods": ["PatchCore", "PaDiM"],
            "classes": [
                {
                    "class_name": "screw",
                    "n_images": 40,
                    "delong": delong,
                    "corrected_p": effect.p,
                }
            ],
            "over_classes": None,
        },
        "change_from_no_adaptation": [changed],
        "change_from_clean": [changed],
        "mean_change_from_no_adaptation": {"PatchCore": means},
        "mean_change_from_clean": {"PatchCore": means},
        "mean_explained_by_threshold": {"PatchCore": means | {"image_f1": f1[0]}},
        "mean_explained_by_model": {"PatchCore": means | {"image_f1": f1[1]}},
    }
    for name in ("clean", "shift_with_adaptation", "shift_threshold_only"):
        (results / f"{name}_results.json").write_text(json.dumps(content))
    return Study(folder, CitedNumbers(folder), folder)


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Effect(0.1, 0.05, 0.15, 0.001), "PatchCore ranks images better than PaDiM"),
        (Effect(-0.1, -0.15, -0.05, 0.001), "PaDiM ranks images better than PatchCore"),
        (Effect(0.1, -0.05, 0.25, 0.2), "no difference between the methods is shown"),
    ],
)
def test_sentences_follow_the_figures(tmp_path, effect, said):
    study = study_with(tmp_path, effect)
    file = "results/clean_results.json"
    assert said in difference_sentence(study, file, 0)


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Effect(0.1, 0.05, 0.15, 0.0), "AUROC rises for the one model"),
        (Effect(-0.1, -0.2, -0.05, 0.0), "AUROC falls for the one model"),
        (Effect(-0.1, -0.2, 0.05, 0.2), "no change of AUROC is shown for the one"),
    ],
)
def test_recovery_is_counted_from_the_intervals(tmp_path, effect, said):
    assert _adapted_text(study_with(tmp_path, effect)).count(said) == 2


@pytest.mark.parametrize(
    ("f1", "by_model"), [((0.01, 0.2), True), ((0.2, 0.01), False), ((0, -0.1), False)]
)
def test_the_model_is_blamed_only_where_it_explains_more(tmp_path, f1, by_model):
    study = study_with(tmp_path, Effect(0, 0, 0, 1), f1)
    assert ("is still missing" in _threshold_text(study)) == by_model
