"""Errors are counted as by hand, and belong to the images that they are of."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest, mannwhitneyu

from adlib.datasets import Sample
from adlib.study import (
    ImageScores,
    agreement_table,
    analyse_errors,
    patterns_table,
)

KINDS = ("good",) * 6 + ("hole",) * 4 + ("crack",) * 4
Y = np.array([kind != "good" for kind in KINDS])
# Which images each model judges wrongly.
FIRST = [0, 1, 6, 7, 10]
SECOND = [1, 7, 13]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Images that get brighter one by one, with masks of growing size."""
    folder = tmp_path_factory.mktemp("errors")
    found = []
    for i, kind in enumerate(KINDS):
        path = folder / f"{i}.png"
        Image.new("L", (20, 20), 10 * i).save(path)
        mask_path = None
        if kind != "good":
            mask = np.zeros((20, 20), np.uint8)
            mask[8 : 8 + i // 2, 8:12] = 255
            if i == 6:
                mask[0, 0] = 255
            mask_path = folder / f"{i}_mask.png"
            Image.fromarray(mask).save(mask_path)
        label = int(kind != "good")
        found.append(Sample(path, label, kind, mask_path, "nut", "test"))
    return found


def scored(method, wrong, samples):
    called = Y.copy()
    called[wrong] = ~called[wrong]
    names = tuple(sample.image_path.name for sample in samples)
    scores = np.where(called, 2.0, 0.0) + np.linspace(0.0, 0.5, len(Y))
    return ImageScores(method, "nut", names, KINDS, Y, scores, called)


@pytest.fixture(scope="module")
def analysis(samples):
    both = [scored("one", FIRST, samples), scored("two", SECOND, samples)]
    return analyse_errors(both, samples)


def test_verdicts_are_counted_by_type_good_ones_last(analysis):
    counts = [(t.method, t.defect_type, t.n_called, t.n_images) for t in analysis.types]
    assert counts == [
        ("one", "crack", 3, 4),
        ("one", "hole", 2, 4),
        ("one", "good", 2, 6),
        ("two", "crack", 3, 4),
        ("two", "hole", 3, 4),
        ("two", "good", 1, 6),
    ]


def test_failing_together_is_set_beside_chance(analysis):
    found = analysis.agreement
    assert (found.first_wrong, found.second_wrong, found.both_wrong) == (3, 1, 2)
    assert found.both_right == 14 - 6
    assert found.expected_both_wrong == pytest.approx(3 * 2 / 8 + 2 * 1 / 6)
    assert found.p_value == binomtest(3, 4).pvalue
    assert "one" in agreement_table([found])


def test_images_that_all_fail_on_come_first(analysis):
    first, second, *rest = analysis.cases
    assert {first.image, second.image} == {"1.png", "7.png"}
    assert first.wrong == ("one", "two")
    assert len(rest) == 4
    by_name = {case.image: case for case in analysis.cases}
    assert by_name["6.png"].kind == "missed"
    assert by_name["6.png"].at_border is True
    assert by_name["10.png"].area_ratio == pytest.approx(20 / 400)
    assert by_name["0.png"].kind == "false alarm"
    assert by_name["0.png"].area_ratio is None
    # Two of the good images score 2 and more with the first model.
    assert by_name["6.png"].ranks["one"] == pytest.approx(4 / 6)


def test_patterns_are_medians_and_ranks_of_what_was_measured(analysis):
    chosen = [p for p in analysis.patterns if (p.method, p.kind) == ("one", "missed")]
    found = {pattern.quantity: pattern for pattern in chosen}
    wrong = np.array([6, 7, 10]) * 10 / 255
    right = np.array([8, 9, 11, 12, 13]) * 10 / 255
    bright = found["brightness"]
    assert (bright.n_wrong, bright.n_right) == (3, 5)
    assert bright.wrong == pytest.approx(np.median(wrong))
    assert bright.right == pytest.approx(np.median(right))
    assert bright.p_value == pytest.approx(mannwhitneyu(wrong, right).pvalue)
    assert found["at the border"].wrong == pytest.approx(1 / 3)
    assert "brightness" in patterns_table(list(analysis.patterns))


def test_one_model_has_nobody_to_agree_with(samples):
    found = analyse_errors([scored("one", [], samples)], samples)
    assert found.agreement is None
    assert found.cases == ()
    assert found.patterns == ()
    assert found.as_dict()["agreement"] is None


def test_other_images_are_refused(samples):
    with pytest.raises(ValueError, match="same order"):
        analyse_errors([scored("one", [], samples)], samples[::-1])
