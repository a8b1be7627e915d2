"""Image metrics equal scikit-learn's, and what a hand finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from adlib.metrics import (
    best_f1,
    compute_accuracy_precision_recall,
    compute_auprc,
    compute_auroc,
    compute_f1_at_threshold,
    fpr_at_tpr,
)
from adlib.metrics._image_metrics import confusion_counts

SCORED = [compute_auroc, compute_auprc, best_f1, fpr_at_tpr]


@st.composite
def labelled_scores(draw):
    """Labels of both kinds, and scores with ties, neighbours and extremes."""
    n = draw(st.integers(2, 40))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    y[:2] = 0, 1
    values = st.sampled_from(
        [0.0, 1.0, np.nextafter(1.0, 2), -3.5, 7.25, 1e300, -1e300]
    )
    smooth = st.floats(-5, 5, allow_nan=False)
    scores = draw(st.lists(values | smooth, min_size=n, max_size=n))
    return y, np.array(scores)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(labelled_scores())
def test_areas_equal_scikit_learn(drawn):
    y, scores = drawn
    expected = sklearn_metrics.roc_auc_score(y, scores)
    assert compute_auroc(y, scores) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.average_precision_score(y, scores)
    assert compute_auprc(y, scores) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(labelled_scores())
def test_auroc_is_the_share_of_pairs_won(drawn):
    y, scores = drawn
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[y == 1]
        for b in scores[y == 0]
    ]
    assert compute_auroc(y, scores) == pytest.approx(np.mean(wins), abs=1e-12)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(labelled_scores())
def test_no_threshold_has_a_better_f1(drawn):
    y, scores = drawn
    best = best_f1(y, scores)
    assert compute_f1_at_threshold(y, scores, best.threshold) == pytest.approx(best.f1)
    for threshold in [*scores, np.nextafter(scores.min(), -np.inf)]:
        found_right = (y * (scores > threshold)).sum()
        expected = 2 * found_right / (y.sum() + (scores > threshold).sum())
        found = compute_f1_at_threshold(y, scores, threshold)
        assert found == pytest.approx(expected, abs=1e-12)
        assert found <= best.f1 + 1e-12


@settings(deadline=None, max_examples=100)
@given(labelled_scores())
def test_rates_equal_scikit_learn(drawn):
    y, scores = drawn
    called = scores > 0.5
    rates = compute_accuracy_precision_recall(y, called)
    assert rates.accuracy == sklearn_metrics.accuracy_score(y, called)
    assert rates.recall == sklearn_metrics.recall_score(y, called)
    assert rates.specificity == sklearn_metrics.recall_score(1 - y, ~called)
    if called.any():
        assert rates.precision == sklearn_metrics.precision_score(y, called)
    else:
        assert math.isnan(rates.precision)
    table = sklearn_metrics.confusion_matrix(y, called)
    assert list(confusion_counts(y, called)) == table.ravel().tolist()


@settings(deadline=None, max_examples=100)
@given(labelled_scores(), st.sampled_from([0.2, 0.5, 0.95, 1.0]))
def test_the_rate_at_enough_found_is_the_lowest(drawn, tpr):
    y, scores = drawn
    every = [*scores, np.nextafter(scores.min(), -np.inf)]
    expected = min(
        np.mean(scores[y == 0] > threshold)
        for threshold in every
        if np.mean(scores[y == 1] > threshold) >= tpr
    )
    assert fpr_at_tpr(y, scores, tpr) == pytest.approx(expected)


def test_nineteen_of_twenty_are_95_percent():
    y = [1] * 20 + [0] * 10
    scores = [1.0] * 19 + [0.0] + [0.5] * 10
    assert fpr_at_tpr(y, scores) == 0.0


def test_what_has_no_share_is_not_a_number():
    assert math.isnan(compute_f1_at_threshold([0, 0], [1, 2], 5))
    rates = compute_accuracy_precision_recall([0, 0], [0, 0])
    assert rates[0] == rates.specificity == 1.0
    assert math.isnan(rates.precision)
    assert math.isnan(rates.recall)


def test_an_image_at_the_threshold_is_normal():
    assert compute_f1_at_threshold([0, 1], [1.0, 2.0], 1.0) == 1.0
    assert compute_f1_at_threshold([0, 1], [1.0, 2.0], 2.0) == 0.0


@pytest.mark.parametrize("function", SCORED)
@pytest.mark.parametrize(
    ("y", "scores", "error", "message"),
    [
        ([0, 0], [1, 2], ValueError, "got normal ones alone"),
        ([1, 1], [1, 2], ValueError, "got anomalous ones alone"),
        ([0, 1], [1, np.nan], ValueError, "1 of 2 NaN or infinite"),
        ([0, 1], [1, np.inf], ValueError, "1 of 2 NaN or infinite"),
        ([0, 1], [1, 2, 3], ValueError, r"as long as y_true \(2\); got 3"),
        ([1, -1], [1, 2], ValueError, "pass y == -1"),
        ([0, 1], [[1, 2]], ValueError, r"scores of .* must be \(n,\)"),
        ([], [], ValueError, r"y_true of .* not empty"),
        ([[0, 1]], [1, 2], ValueError, r"y_true of .* must be \(n,\) labels"),
        (["a", "b"], [1, 2], TypeError, "y_true of"),
        ([0, 1], ["a", "b"], TypeError, "scores of"),
    ],
)
def test_what_cannot_be_measured_is_refused(function, y, scores, error, message):
    with pytest.raises(error, match=message):
        function(y, scores)


def test_impossible_thresholds_and_verdicts_are_refused():
    with pytest.raises(ValueError, match="threshold of compute_f1_at_threshold"):
        compute_f1_at_threshold([0, 1], [1, 2], float("nan"))
    with pytest.raises(TypeError, match="threshold of compute_f1_at_threshold"):
        compute_f1_at_threshold([0, 1], [1, 2], "1")
    with pytest.raises(ValueError, match=r"y_pred of .* pass y == -1"):
        confusion_counts([0, 1], [1, -1])
    with pytest.raises(ValueError, match=r"y_pred of .* as long as y_true \(2\)"):
        confusion_counts([0, 1], [1])
    with pytest.raises(ValueError, match=r"tpr of fpr_at_tpr"):
        fpr_at_tpr([0, 1], [1, 2], 1.5)
