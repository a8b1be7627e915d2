"""Thresholds against brute force, a simulation, and a table of labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adlib.estimators._thresholds import (
    as_anomalous,
    best_f1_threshold,
    conformal_threshold,
)

FLOATS = st.floats(0, 1e6, width=32)
LEVELS = st.integers(0, 6).map(float)  # few levels, so that many scores tie


def f1_above(normal, anomalous, threshold):
    hits = int((anomalous > threshold).sum())
    return 2 * hits / (hits + int((normal > threshold).sum()) + len(anomalous))


def all_thresholds(normal, anomalous):
    """One threshold for each way to cut the scores, highest first."""
    levels = np.unique(np.concatenate([normal, anomalous]))[::-1]
    return [*((levels[:-1] + levels[1:]) / 2), levels[-1] - 1.0]


@given(
    st.one_of(
        st.tuples(
            st.lists(scores, min_size=1, max_size=12),
            st.lists(scores, min_size=1, max_size=12),
        )
        for scores in (FLOATS, LEVELS)
    )
)
def test_no_threshold_has_a_better_f1(scores):
    normal, anomalous = map(np.array, scores)
    found = best_f1_threshold(normal, anomalous)
    f1 = [f1_above(normal, anomalous, cut) for cut in all_thresholds(normal, anomalous)]
    assert f1_above(normal, anomalous, found) == max(f1)
    highest = all_thresholds(normal, anomalous)[int(np.argmax(f1))]
    everything = np.concatenate([normal, anomalous])
    np.testing.assert_array_equal(everything > found, everything > highest)


@pytest.mark.parametrize(
    ("normal", "anomalous", "threshold"),
    [
        ([1.0, 2.0], [5.0, 9.0], 3.5),  # half way in the gap
        ([1.0, 6.0], [5.0, 9.0], 3.0),  # F1 0.8 for 3 flagged, 2/3 for 1
        ([1.0, 3.0, 3.0, 3.0], [2.0, 4.0], 3.5),  # F1 2/3 for one and 4/7 for five
        ([4.0, 2.0], [5.0, 3.0, 1.0, 0.0], None),
        ([7.0], [7.0], None),  # all flagged: just below the lowest score
    ],
)
def test_the_threshold_of_small_cases(normal, anomalous, threshold):
    found = best_f1_threshold(np.array(normal), np.array(anomalous))
    if threshold is None:
        threshold = np.nextafter(min(normal + anomalous), -np.inf)
    assert found == threshold


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("distribution", ["normal", "standard_cauchy"])
def test_the_conformal_rule_keeps_its_rate(rate, distribution):
    rng = np.random.default_rng(0)
    draw = getattr(rng, distribution)
    exceeding = [
        (draw(size=100) > conformal_threshold(draw(size=39), rate)).mean()
        for _ in range(2000)
    ]
    # With 39 scores these rates are met exactly; the mean's standard error is 0.0015.
    assert np.mean(exceeding) == pytest.approx(rate, abs=0.005)


@pytest.mark.parametrize(("rate", "fewest"), [(0.05, 19), (0.1, 9), (0.5, 1), (0.3, 3)])
def test_too_few_scores_for_the_rate_are_refused(rate, fewest):
    scores = np.arange(fewest, dtype=float)
    assert conformal_threshold(scores, rate) == scores[-1]
    with pytest.raises(ValueError, match="needs more normal images; got"):
        conformal_threshold(scores[:-1], rate)


@pytest.mark.parametrize(
    ("labels", "anomalous"),
    [
        ([1, -1, 1], [False, True, False]),
        ([0, 1, 0], [False, True, False]),
        ([False, True], [False, True]),
        ([1, 1], [False, False]),
        ([-1, -1], [True, True]),
        ([0, 0], [False, False]),
        ([1.0, -1.0], [False, True]),
        ([0.0, 1.0], [False, True]),
        (np.array([0, 1], np.uint8), [False, True]),
        (np.array([-1, 1], np.int8), [True, False]),
        ((True, True), [True, True]),
    ],
)
def test_labels_mean_what_the_conventions_say(labels, anomalous):
    found = as_anomalous(labels, "here")
    assert found.dtype == np.bool_
    assert found.tolist() == anomalous


@pytest.mark.parametrize(
    ("labels", "fragment"),
    [
        ([-1, 0, 1], "the values -1, 0, 1"),
        ([0, 2], "the values 0, 2"),
        ([0.5, 1.0], r"the values 0\.5, 1\.0"),
        ([1.0, np.nan], "nan"),
        (["good", "bad"], "<U4"),
        ([[1], [-1]], r"shape \(2, 1\)"),
        ([], r"shape \(0,\)"),
        (1, r"shape \(\)"),
    ],
)
def test_other_labels_are_refused(labels, fragment):
    with pytest.raises(ValueError, match=r"y of here must be \+1 normal.*" + fragment):
        as_anomalous(labels, "here")
