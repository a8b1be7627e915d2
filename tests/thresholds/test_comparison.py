"""The rows of the comparison against each rule by itself and scikit-learn's figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from adlib.thresholds import (
    calibrate_threshold,
    compare_thresholds,
    conformal_threshold,
    quantile_threshold,
    sigma_threshold,
)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    labels = rng.random(200) < 0.3
    scores = rng.gamma(2, size=200) + 3 * labels
    return rng.gamma(2, size=60), rng.gamma(2, size=20) + 3, labels.astype(int), scores


def test_each_rule_sets_its_own_threshold(drawn):
    normal, anomalous, *_ = drawn
    rows = compare_thresholds(*drawn, false_positive_rate=0.1, k=2.0)
    assert {row.rule: row.threshold for row in rows} == {
        "max": normal.max(),
        "quantile": quantile_threshold(normal, 0.1),
        "sigma": sigma_threshold(normal, 2.0),
        "conformal": conformal_threshold(normal, 0.1),
        "best_f1": calibrate_threshold(normal, anomalous),
    }


def test_figures_are_scikit_learns(drawn):
    *_, labels, scores = drawn
    for row in compare_thresholds(*drawn):
        flagged = (scores > row.threshold).astype(int)
        assert row.f1 == pytest.approx(f1_score(labels, flagged))
        assert row.precision == pytest.approx(precision_score(labels, flagged))
        assert row.recall == pytest.approx(recall_score(labels, flagged))
        rate = 1 - recall_score(labels, flagged, pos_label=0)
        assert row.false_positive_rate == pytest.approx(rate)


def test_scores_at_the_threshold_are_normal():
    rows = compare_thresholds([1.0, 2.0], None, [0, 1, 1], [2.0, 2.0, 2.5])
    assert rows[0] == ("max", 2.0, pytest.approx(2 / 3), 1.0, 0.5, 0.0)


def test_without_anomalous_images_there_is_no_best_f1(drawn):
    normal, _, labels, scores = drawn
    rows = compare_thresholds(normal, None, labels, scores)
    assert [row.rule for row in rows] == ["max", "quantile", "sigma", "conformal"]


def test_too_few_images_for_the_promise_call_nothing_anomalous(drawn):
    normal, anomalous, labels, scores = drawn
    rows = compare_thresholds(normal[:18], anomalous, labels, scores)
    assert rows[3] == ("conformal", math.inf, 0.0, 0.0, 0.0, 0.0)
    enough = compare_thresholds(normal[:19], anomalous, labels, scores)
    assert enough[3].threshold == normal[:19].max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: [np.inf, 1.0]}, "scores_normal of compare_thresholds must be"),
        ({0: [1.0]}, "scores_normal of sigma_threshold must be at least two"),
        ({1: []}, "scores_anomalous of calibrate_threshold must be"),
        ({2: [0] * 200}, "normal ones alone"),
        ({3: [1.0]}, r"scores of compare_thresholds must be as long as y_true"),
    ],
)
def test_what_cannot_be_compared_is_refused(drawn, changes, message):
    arguments = [changes.get(i, value) for i, value in enumerate(drawn)]
    with pytest.raises(ValueError, match=message):
        compare_thresholds(*arguments)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_rate_lies_between_none_and_all(drawn, rate):
    with pytest.raises(ValueError, match="false_positive_rate of compare_thresholds"):
        compare_thresholds(*drawn, false_positive_rate=rate)
