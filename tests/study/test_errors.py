"""Errors are counted as by hand, and belong to the images that they are of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import binomtest, mannwhitneyu

from adlib.datasets import Sample
from adlib.study._errors import analyse_errors, wrong_verdicts
from tests.study.conftest import scored, value

KINDS = ("good",) * 6 + ("hole",) * 4 + ("crack",) * 4
Y = np.array([int(kind != "good") for kind in KINDS])
WRONG = {"one": [0, 1, 6, 7, 10], "two": [1, 7, 13]}  # which images each gets wrong


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Images that get brighter one by one, with masks of growing size."""
    folder = tmp_path_factory.mktemp("errors")
    found = []
    for i, kind in enumerate(KINDS):
        path, mask_path = folder / f"{i:03}.png", None
        Image.new("L", (20, 20), 10 * i).save(path)
        if kind != "good":
            mask = np.zeros((20, 20), np.uint8)
            mask[8 : 8 + i // 2, 8:12] = 255
            mask[0, 0] = 255 * (i == 6)
            mask_path = folder / f"{i}_mask.png"
            Image.fromarray(mask).save(mask_path)
        found.append(Sample(path, int(Y[i]), kind, mask_path, "nut", "test"))
    return found


def table(method, wrong):
    predicted = Y == 1
    predicted[wrong] = ~predicted[wrong]
    scores = np.where(predicted, 2.0, 0.0) + np.linspace(0.0, 0.5, len(Y))
    return scored(scores, 1.0, Y, method=method, defect_type=KINDS)


@pytest.fixture(scope="module")
def analysis(samples):
    tables = pd.concat([table(*one) for one in WRONG.items()])
    return analyse_errors(tables, samples)


def test_verdicts_are_counted_by_type_good_ones_last(analysis):
    rows = analysis[analysis["metric"] == "n_predicted_anomalous"]
    assert rows[["method", "setting", "value", "n"]].values.tolist() == [
        ["one", "defect crack", 3, 4],
        ["one", "defect hole", 2, 4],
        ["one", "defect good", 2, 6],
        ["two", "defect crack", 3, 4],
        ["two", "defect hole", 3, 4],
        ["two", "defect good", 1, 6],
    ]


def test_failing_together_is_set_beside_chance(analysis):
    found = analysis
    alone = {name: f"only {name} wrong" for name in WRONG}
    assert value(found, "n_images", setting=alone["one"]) == 3
    assert value(found, "n_images", setting=alone["two"]) == 1
    assert value(found, "n_images", setting="both wrong") == 2
    assert value(found, "n_images", setting="both right") == 14 - 6
    chance = value(found, "n_images", setting="both wrong if independent")
    assert chance == pytest.approx(3 * 2 / 8 + 2 * 1 / 6)
    keys = {"setting": alone["one"], "versus": alone["two"]}
    assert value(found, "n_images", "p", **keys) == binomtest(3, 4).pvalue


def test_each_wrong_verdict_is_that_of_its_image(samples):
    tables = pd.concat([table(*one) for one in WRONG.items()])
    found = wrong_verdicts(tables, samples)
    for method, wrong in WRONG.items():
        assert found.index[found[method]].tolist() == wrong
    tables.loc[tables["image"] == "001.png", "verdict"] = pd.NA  # skipped
    assert wrong_verdicts(tables, samples).equals(found.drop(index=1))


def test_patterns_are_medians_and_ranks_of_what_was_measured(analysis):
    found = analysis[analysis["method"] == "one"]
    wrong = np.array([6, 7, 10]) * 10 / 255
    right = np.array([8, 9, 11, 12, 13]) * 10 / 255
    missed = {"setting": "pattern missed"}
    assert value(found, "brightness", **missed) == pytest.approx(np.median(wrong))
    assert value(found, "brightness", "n", **missed) == 3
    bright = value(found, "brightness", setting="pattern found")
    assert bright == pytest.approx(np.median(right))
    p = value(found, "brightness", "p", **missed)
    assert p == pytest.approx(mannwhitneyu(wrong, right).pvalue)
    assert value(found, "at_border", **missed) == pytest.approx(1 / 3)


def test_one_model_without_errors_has_nobody_to_agree_with(samples):
    found = analyse_errors(table("one", []), samples)
    assert set(found["metric"]) == {"n_predicted_anomalous"}
    with pytest.raises(ValueError, match="same order"):
        analyse_errors(table("one", []), samples[::-1])
