"""Conditions and methods are compared on the same images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adlib.metrics import compute_auroc, compute_f1_at_threshold, delong_test
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test
from adlib.study import compare_conditions, compare_methods
from tests.study.conftest import scored, value

Y = np.repeat([0, 1], 20)
DARK = {"condition": "shifted"}


@pytest.fixture
def both():
    rng = np.random.default_rng(0)
    return rng.normal(3.0 * Y), rng.normal(1.0 * Y + 1)


def twins(table):
    """Return a table with the names that shifted images have."""
    stems = table["image"].str.removesuffix(".png")
    return table.assign(image=table["defect_type"] + "_" + stems + "_shifted.png")


def test_changes_are_those_of_the_metrics(both):
    before, after = both
    shifted = twins(scored(after, 1.5, Y, **DARK))
    found = compare_conditions(shifted, scored(before, 1.0, Y))
    test, keys = delong_test(Y, after, before), {"versus": "clean", "class_": "nut"}
    auroc = [value(found, "auroc", c, **keys) for c in ("value", "low", "high", "p")]
    assert auroc == [test.difference, test.low, test.high, test.p_value]
    f1 = [compute_f1_at_threshold(Y, s, t) for s, t in ((before, 1.0), (after, 1.5))]
    assert value(found, "f1", **keys) == pytest.approx(f1[1] - f1[0])
    assert value(found, "f1", "low", **keys) < value(found, "f1", **keys)
    normal = Y == 0
    change = np.mean(after[normal] <= 1.5) - np.mean(before[normal] <= 1.0)
    assert value(found, "specificity", **keys) == pytest.approx(change)
    change = np.mean(after[~normal] > 1.5) - np.mean(before[~normal] > 1.0)
    assert value(found, "recall", **keys) == pytest.approx(change)
    assert set(found["condition"]) == {"shifted"}


def test_no_change_has_no_spread(both):
    one = scored(both[0], 1.0, Y)
    found = compare_conditions(one, one)
    own = found[found["class"] == "nut"]
    assert (own[["value", "low", "high"]] == 0.0).all(axis=None)
    assert value(own, "auroc", "p", versus="clean") == 1.0


def test_skipped_images_count_in_neither_and_classes_are_averaged(both):
    holed = both[0].copy()
    holed[[3, 30]] = np.nan
    first = [scored(holed, 1.0, Y), scored(both[0], 1.0, Y, **{"class": "pill"})]
    second = [scored(both[1], 1.5, Y, **DARK, **{"class": c}) for c in ("pill", "nut")]
    found = compare_conditions(pd.concat(second), pd.concat(first))
    keys = {"versus": "clean"}
    assert value(found, "f1", "n", class_="nut", **keys) == 38
    parts = [value(found, "f1", class_=c, **keys) for c in ("nut", "pill")]
    assert value(found, "f1", class_="mean", **keys) == pytest.approx(np.mean(parts))


def test_other_images_and_methods_are_refused(both):
    one, other = (scored(values, 1.0, Y) for values in both)
    with pytest.raises(ValueError, match="methods and classes of before"):
        compare_conditions(other.assign(method="PatchCore"), one)
    with pytest.raises(ValueError, match="images of 'nut'"):
        compare_conditions(twins(other).iloc[::-1], one)


def runs(seed, gap, method):
    rng = np.random.default_rng(seed)
    classes = ("nut", "pill")
    known = [{"method": method, "class": name} for name in classes]
    return [scored(rng.normal(gap * Y), 0.5, Y, **one) for one in known]


def test_every_test_of_methods_is_that_of_the_metrics():
    first, second = runs(0, 2.0, "one"), runs(1, 1.0, "two")
    found = compare_methods(pd.concat([*first, *second]))
    assert set(found["method"]) == {"one"}
    raw, aurocs = [], []
    for a, b in zip(first, second, strict=True):
        name, pair = a["class"].iloc[0], [t["score"].to_numpy() for t in (a, b)]
        test, keys = delong_test(Y, *pair), {"class_": name, "versus": "two"}
        assert value(found, "auroc", **keys) == test.difference
        assert value(found, "auroc", "p", **keys) == test.p_value
        raw.append(test.p_value)
        aurocs.append([compute_auroc(Y, scores) for scores in pair])
    holm = found.loc[found["setting"] == "Holm", "p"]
    assert holm.tolist() == list(corrected_p_values(raw))
    test = paired_t_test(*np.array(aurocs).T)
    keys = {"class_": "mean", "setting": "t-test", "versus": "two"}
    assert value(found, "auroc", "p", **keys) == test.p_value


def test_other_methods_and_images_are_refused():
    first, second = runs(0, 1.0, "one")[0], runs(1, 1.0, "two")[0]
    with pytest.raises(ValueError, match="must hold two methods; got"):
        compare_methods(first)
    with pytest.raises(ValueError, match="same test images of 'nut'"):
        compare_methods(pd.concat([first, second.iloc[::-1]]))
    holed = first.assign(score=first["score"].where(first.index > 1))
    found = compare_methods(pd.concat([holed, second]))
    assert set(found["n"]) == {38}
    assert "mean" not in set(found["class"])
