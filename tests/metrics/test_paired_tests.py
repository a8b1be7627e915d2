"""Tests of two methods equal their definitions, and reject as rarely as due."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import (
    compute_auroc,
    delong_interval,
    delong_test,
    paired_permutation_test,
)
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test


def covariance(y, methods):
    """Return AUROCs and their covariance, pair by pair (DeLong et al., section 3)."""
    wins = np.array(
        [
            [
                [1.0 if x > y else 0.5 if x == y else 0.0 for y in scores[y == 0]]
                for x in scores[y == 1]
            ]
            for scores in methods
        ]
    )
    n_anomalous, n_normal = wins.shape[1:]
    of_anomalous = np.atleast_2d(np.cov(wins.mean(axis=2)))
    of_normal = np.atleast_2d(np.cov(wins.mean(axis=1)))
    return wins.mean(axis=(1, 2)), of_anomalous / n_anomalous + of_normal / n_normal


@pytest.fixture(params=range(6))
def scored(request):
    rng = np.random.default_rng(request.param)
    y = rng.permutation(np.repeat([0, 1], rng.integers(2, 20, size=2)))
    digits = 0 if request.param % 2 else 6
    a = np.round(rng.normal(y), digits)
    return y, a, np.round(a + rng.normal(size=len(y)), digits)


def test_the_test_equals_its_definition(scored):
    y, a, b = scored
    found = delong_test(y, a, b)
    aurocs, matrix = covariance(y, [a, b])
    error = math.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    assert found.difference == pytest.approx(aurocs[0] - aurocs[1], abs=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9, abs=1e-12)
    z = (aurocs[0] - aurocs[1]) / error
    assert found.statistic == pytest.approx(z, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-7)
    expected = stats.norm.interval(0.95, found.difference, error)
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_interval_equals_its_definition(scored):
    y, a, _ = scored
    found = delong_interval(y, a, confidence=0.9)
    (auroc,), matrix = covariance(y, [a])
    low, high = stats.norm.interval(0.9, auroc, math.sqrt(matrix[0, 0]))
    assert found.value == pytest.approx(compute_auroc(y, a), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((max(low, 0), min(high, 1)))
    assert found.confidence == 0.9


def test_the_test_sees_order_alone_and_changes_sign(scored):
    y, a, b = scored
    found = delong_test(y, a, b)
    assert delong_test(y, a, 1000 + b) == found
    back = delong_test(y, b, a)
    assert (back.difference, back.p_value) == (-found.difference, found.p_value)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_equal_methods_give_no_difference():
    y, a = [0, 0, 0, 1, 1, 1], np.array([1.0, 2, 4, 3, 5, 6])
    assert delong_test(y, a, a / 3) == (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def test_without_spread_there_is_no_verdict():
    y = [0, 0, 0, 1, 1, 1]
    found = delong_test(y, [1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 1])
    assert (found.difference, found.standard_error) == (0.5, 0.0)
    assert math.isnan(found.statistic)
    assert math.isnan(found.p_value)
    assert delong_interval(y, y) == (1.0, 1.0, 1.0, 0.95)


@pytest.mark.slow
def test_methods_that_are_as_good_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [150, 250])
    rejected = covered = 0
    for _ in range(1000):
        shared = rng.normal(size=400)
        a, b = (y + shared + rng.normal(size=400) for _ in range(2))
        rejected += delong_test(y, a, b).p_value < 0.05
        interval = delong_interval(y, a)
        covered += interval.low <= stats.norm.cdf(0.5) <= interval.high
    # Of 1000 at 5 percent, 30 to 70 are within three standard errors.
    assert 30 <= rejected <= 70
    assert 930 <= covered <= 970


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        (
            [0, 1, 1],
            [1, 2, 3],
            "at least two normal and two anomalous images; got 1 an",
        ),
        ([0, 0, 1], [1, 2, 3], "got 2 and 1"),
        ([0, 0], [1, 2], "got normal ones alone"),
        ([0, 0, 1, 1], [1, 2, 3], r"scores.* must be as long as y_true \(4\); got 3"),
    ],
)
def test_too_few_images_are_refused(y, scores, message):
    with pytest.raises(ValueError, match=message):
        delong_interval(y, scores)
    with pytest.raises(ValueError, match=message):
        delong_test(y, scores, scores)


def test_errors_name_the_method():
    with pytest.raises(ValueError, match="scores_b of delong_test"):
        delong_test([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, math.nan])
    for confidence in (0, 1):
        with pytest.raises(ValueError, match="confidence of delong_interval"):
            delong_interval([0, 0, 1, 1], [1, 2, 3, 4], confidence=confidence)


def all_exchanges(y, a, b, metric):
    """Return the p-value over every way to exchange scores, which chance samples."""
    ranks = stats.rankdata(a), stats.rankdata(b)
    observed = metric(y, ranks[0]) - metric(y, ranks[1])
    extreme = []
    for bits in product([False, True], repeat=len(y)):
        first = np.where(bits, ranks[1], ranks[0])
        second = np.where(bits, ranks[0], ranks[1])
        found = metric(y, first) - metric(y, second)
        extreme.append(abs(found) >= abs(observed) - 1e-12)
    return observed, np.mean(extreme)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "metric"),
    [("auroc", roc_auc_score), ("average_precision", average_precision_score)],
)
def test_permutations_near_the_p_value_of_all_exchanges(name, metric):
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [5, 4])
    a, b = np.round(rng.normal(2 * y), 1), np.round(rng.normal(size=9), 1) * 100
    observed, expected = all_exchanges(y, a, b, metric)
    found = paired_permutation_test(y, a, b, name, n_resamples=20_000)
    assert found.difference == pytest.approx(observed)
    assert found.p_value == pytest.approx(expected, abs=0.015)


def test_permutations_do_not_see_scales_and_are_seeded():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 20)
    a, b = rng.normal(y), rng.normal(y)
    found = paired_permutation_test(y, a, b)
    assert paired_permutation_test(y, np.exp(a), 1000 * b) == found
    assert paired_permutation_test(y, a, b, random_state=1) != found
    turned = paired_permutation_test(y, b, a)
    assert turned.difference == -found.difference
    assert turned.p_value == pytest.approx(found.p_value, abs=0.03)


def test_the_same_scores_differ_by_nothing():
    y, scores = np.repeat([0, 1], 6), np.arange(12.0)
    found = paired_permutation_test(y, scores, scores, n_resamples=50)
    assert (found.difference, found.statistic, found.p_value) == (0.0, 0.0, 1.0)


def test_few_resamples_cannot_prove_much():
    y = np.repeat([0, 1], 30)
    found = paired_permutation_test(y, y, -y, n_resamples=19)
    assert found.difference == 1.0
    assert found.p_value == 1 / 20


def test_equal_methods_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    rejected = 0
    for seed in range(300):
        shared = rng.normal(size=60)
        a, b = (y + shared + rng.normal(size=60) for _ in range(2))
        test = paired_permutation_test(y, a, b, n_resamples=199, random_state=seed)
        rejected += test.p_value <= 0.05
    # Of 300 at 5 percent, 4 to 26 are within three standard errors.
    assert 4 <= rejected <= 26


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_t_test_equals_its_formula(n, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    found = paired_t_test(a, b)
    error = np.std(a - b, ddof=1) / np.sqrt(n)
    t = np.mean(a - b) / error
    assert found.statistic == pytest.approx(t)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), n - 1))
    margin = stats.t.ppf(0.975, n - 1) * error
    assert (found.low, found.high) == pytest.approx(
        (found.difference - margin, found.difference + margin)
    )


def test_the_t_test_without_spread():
    values = np.array([0.5, 0.75, 0.25])
    same = paired_t_test(values, values)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    apart = paired_t_test(values, values - 0.25)
    assert (apart.statistic, apart.p_value) == (math.inf, 0.0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_correction_equals_its_definition(p_values):
    n = len(p_values)
    ordered = sorted(p_values)
    holm = [
        min(1.0, max((n - j) * ordered[j] for j in range(n) if ordered[j] <= p))
        for p in p_values
    ]
    np.testing.assert_allclose(corrected_p_values(p_values), holm, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: corrected_p_values([0.5, np.nan]), ValueError, "p_values of"),
        (
            lambda: paired_permutation_test([0, 1], [1, 2], [1, np.nan]),
            ValueError,
            "scores_b of paired_permutation_test",
        ),
        (
            lambda: paired_permutation_test([0, 1], [1, 2], [1, 2], n_resamples=0),
            ValueError,
            "n_resamples of",
        ),
        (
            lambda: paired_permutation_test([0, 1], [1, 2], [1, 2], "f2"),
            ValueError,
            "metric of",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
