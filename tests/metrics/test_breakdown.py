"""Groups of defects are measured as if the others were not there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import per_defect_type
from adlib.metrics._breakdown import (
    by_defect_size,
    by_position,
    mask_area_ratio,
    touches_border,
)

RNG = np.random.default_rng(3)
Y = np.repeat([0, 1], [30, 45])
SCORES = np.round(RNG.normal(size=75) + Y, 1)
TYPES = np.where(Y == 0, "good", RNG.choice(["hole", "dent", "cut"], 75))
AREAS = np.where(Y == 0, 0.0, RNG.random(75))
BORDER = RNG.random(75) < 0.4


def by_hand(chosen, threshold):
    """Measure chosen anomalous images with all normal ones, and nothing else."""
    rows = [*np.flatnonzero(Y == 0), *chosen]
    n_found = sum(SCORES[i] > threshold for i in chosen)
    tail = stats.beta.ppf
    n = len(chosen)
    low = 0.0 if n_found == 0 else tail(0.025, n_found, n - n_found + 1)
    high = 1.0 if n_found == n else tail(0.975, n_found + 1, n - n_found)
    auroc = roc_auc_score(Y[rows], SCORES[rows])
    precision = average_precision_score(Y[rows], SCORES[rows])
    return (n, auroc, precision, n_found / n, low, high)


@pytest.mark.parametrize("threshold", [0.8, 9.0, -9.0])
def test_defect_types(threshold):
    groups = per_defect_type(Y, SCORES, TYPES, threshold)
    assert list(groups) == ["cut", "dent", "hole"]
    for name, group in groups.items():
        chosen = [i for i in range(75) if TYPES[i] == name]
        assert tuple(group) == pytest.approx(by_hand(chosen, threshold))


def test_sizes_are_thirds():
    groups = by_defect_size(Y, SCORES, AREAS, 0.8)
    order = [i for i in np.argsort(AREAS) if Y[i]]
    for number, name in enumerate(["small", "medium", "large"]):
        chosen = order[15 * number : 15 * number + 15]
        assert tuple(groups[name]) == pytest.approx(by_hand(chosen, 0.8))


def test_sizes_that_are_all_the_same_are_one_group():
    groups = by_defect_size(Y, SCORES, np.full(75, 0.1))
    assert list(groups) == ["small"]
    assert groups["small"].n_images == 45
    assert groups["small"].recall is groups["small"].recall_low is None


def test_positions():
    groups = by_position(Y, SCORES, BORDER, 0.8)
    for name, kind in (("border", True), ("centre", False)):
        chosen = [i for i in range(75) if Y[i] and BORDER[i] == kind]
        assert tuple(groups[name]) == pytest.approx(by_hand(chosen, 0.8))
    assert list(by_position(Y, SCORES, np.zeros(75, bool))) == ["centre"]


def test_normal_images_need_no_type_area_or_position():
    areas = np.where(Y == 0, np.nan, AREAS)
    assert by_defect_size(Y, SCORES, areas) == by_defect_size(Y, SCORES, AREAS)
    assert by_position(Y, SCORES, BORDER | (Y == 0)) == by_position(Y, SCORES, BORDER)


def test_areas_and_borders_of_masks():
    mask = np.zeros((20, 40))
    mask[9:11, 15:25] = 255
    assert mask_area_ratio(mask) == 20 / 800
    assert not touches_border(mask)  # 2 pixels wide
    mask[17, 20] = 1
    assert not touches_border(mask)
    mask[18, 20] = 1
    assert touches_border(mask)
    assert not touches_border(np.zeros((5, 5)))
    assert touches_border(np.ones((5, 5)))
    edge = np.zeros((4, 4))
    edge[:, 0] = 1
    assert touches_border(edge)  # which is a pixel wide at least


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: per_defect_type(Y, SCORES, ["a"]), ValueError, r"must be \(75,\)"),
        (lambda: per_defect_type(Y, SCORES, TYPES, np.nan), ValueError, "threshold of"),
        (lambda: by_position(Y * 0, SCORES, BORDER), ValueError, "normal ones alone"),
        (lambda: mask_area_ratio(np.ones(4)), ValueError, "mask of mask_area_ratio"),
    ],
)
def test_what_cannot_be_grouped_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
