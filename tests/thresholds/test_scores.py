"""Thresholds equal what trying everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adlib.thresholds import (
    calibrate_threshold,
    quantile_threshold,
    sigma_threshold,
    transfer_threshold,
)
from tests.thresholds import naive

FLOATS = st.floats(-1e6, 1e6)
LEVELS = st.integers(0, 6).map(float)  # few levels, so that many scores tie
NEXT = st.integers(0, 5).map(lambda k: 1 + k * 2.0**-52)  # with nothing in between
HUGE = st.sampled_from([-1.7e308, -1.6e308, 1.6e308, 1.7e308])  # sums overflow
KINDS = (FLOATS, LEVELS, NEXT, HUGE)
TWO_SETS = st.one_of(
    st.tuples(
        st.lists(kind, min_size=1, max_size=12), st.lists(kind, min_size=1, max_size=12)
    )
    for kind in KINDS
)
ONE_SET = st.one_of(st.lists(kind, min_size=1, max_size=40) for kind in KINDS)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.3, 0.5, 0.7, 0.9, 0.99])


@given(TWO_SETS)
def test_no_threshold_has_a_better_f1(scores):
    normal, anomalous = scores
    found = calibrate_threshold(normal, anomalous)
    everything = np.array(normal + anomalous)
    wanted = everything >= naive.best_cut(normal, anomalous)
    np.testing.assert_array_equal(everything > found, wanted)


@pytest.mark.parametrize(
    ("normal", "anomalous", "threshold"),
    [
        ([1.0, 2.0], [5.0, 9.0], 3.5),  # half way in the gap
        ([1.0, 6.0], [5.0, 9.0], 3.0),  # F1 0.8 for 3 flagged, 2/3 for 1
        ([1.0, 3.0, 3.0, 3.0], [2.0, 4.0], 3.5),  # F1 2/3 for one and 4/7 for five
        ([4.0, 2.0], [5.0, 3.0, 1.0, 0.0], -5e-324),  # all flagged
        ([7.0], [7.0], np.nextafter(7.0, 0.0)),
        ([1.0], [1 + 2.0**-52], 1.0),  # nothing in between
    ],
)
def test_the_threshold_of_small_cases(normal, anomalous, threshold):
    assert calibrate_threshold(normal, anomalous) == threshold


@given(TWO_SETS, st.lists(st.floats(-1, 7), min_size=1, max_size=9))
def test_of_candidates_the_best_and_of_these_the_highest_wins(scores, candidates):
    found = calibrate_threshold(*scores, candidates=candidates)
    tried = [(naive.f1_above(*scores, cut), cut) for cut in candidates]
    assert found == max(tried)[1]


def test_a_fine_grid_comes_to_what_all_thresholds_give():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(0, 1, 60), rng.normal(1.5, 1, 30)
    best = naive.f1_above(normal, anomalous, calibrate_threshold(normal, anomalous))
    grid = np.linspace(-3, 4, 100)
    coarse = calibrate_threshold(normal, anomalous, candidates=grid)
    assert naive.f1_above(normal, anomalous, coarse) <= best
    every = np.concatenate([normal, anomalous, [-9.0]])
    fine = calibrate_threshold(normal, anomalous, candidates=every)
    assert naive.f1_above(normal, anomalous, fine) == best


@given(ONE_SET, RATES)
def test_the_quantile_is_the_lowest_score_that_few_enough_exceed(scores, rate):
    assert quantile_threshold(scores, rate) == naive.quantile(scores, rate)


def test_the_quantile_is_numpys_inverted_distribution_function():
    scores = np.random.default_rng(1).normal(size=97)
    for rate in (0.01, 0.05, 0.37, 0.9):
        wanted = np.quantile(scores, 1 - rate, method="inverted_cdf")
        assert quantile_threshold(scores, rate) == wanted


def test_sigma_is_mean_and_deviations_of_a_sample():
    assert sigma_threshold([1.0, 3.0], 2.0) == pytest.approx(2 + 2 * np.sqrt(2))
    assert sigma_threshold([5.0, 5.0]) == 5.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: calibrate_threshold([], [1.0]),
            ValueError,
            "scores_normal of calibrate_threshold must be .* not empty",
        ),
        (
            lambda: calibrate_threshold([1.0], [np.nan]),
            ValueError,
            "scores_anomalous of calibrate_threshold must be .* 1 of 1 NaN",
        ),
        (
            lambda: calibrate_threshold([1.0], [2.0], candidates=["low"]),
            TypeError,
            "candidates of calibrate_threshold must be",
        ),
        (
            lambda: quantile_threshold([1.0], 0.0),
            ValueError,
            r"false_positive_rate of quantile_threshold must be a number in \(0, 1\)",
        ),
        (
            lambda: quantile_threshold([1.0], 1.0),
            ValueError,
            r"false_positive_rate of quantile_threshold must be a number in \(0, 1\)",
        ),
        (
            lambda: sigma_threshold([1.0]),
            ValueError,
            "scores_normal of sigma_threshold must be at least two scores",
        ),
        (
            lambda: sigma_threshold([1.0, 2.0], -1.0),
            ValueError,
            "k of sigma_threshold must be a finite number above 0",
        ),
    ],
)
def test_what_gives_no_threshold_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("rule", ["spread", "quantile"])
def test_a_threshold_follows_scores_that_are_stretched_and_moved(rule):
    rng = np.random.default_rng(0)
    before = rng.gamma(3.0, size=201)
    moved = transfer_threshold(5.0, before, 40 + 7 * before, rule=rule)
    assert np.array_equal(40 + 7 * before > moved, before > 5.0)


def test_the_location_moves_as_the_median_does():
    before, after = [1.0, 2.0, 9.0], [4.0, 4.5, 4.6]
    assert transfer_threshold(3.0, before, after, rule="location") == 5.5


def test_a_quantile_keeps_the_share_above_among_other_numbers_of_images():
    before = np.arange(10.0)
    after = np.arange(100.0, 140.0)
    moved = transfer_threshold(6.5, before, after, rule="quantile")
    assert np.mean(after > moved) == np.mean(before > 6.5)


def test_every_image_can_stay_above():
    after = np.array([3.0, 4.0])
    assert (after > transfer_threshold(0.0, [1.0, 2.0], after, rule="quantile")).all()
    assert transfer_threshold(5.0, [1.0, 2.0], after, rule="quantile") == 4.0


def test_scores_without_spread_are_refused_where_it_counts():
    with pytest.raises(ValueError, match="Pass rule='location'"):
        transfer_threshold(1.0, [2.0, 2.0, 2.0, 5.0], [1.0, 2.0])
    assert transfer_threshold(1.0, [2.0, 2.0], [5.0], rule="location") == 4.0


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule of transfer_threshold"):
        transfer_threshold(1.0, [1.0], [1.0], rule="mean")
