"""DeLong's test equals its definition over all pairs, and rejects as rarely as due."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from adlib.metrics import compute_auroc, delong_interval, delong_test


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
def test_what_cannot_be_tested_is_refused(y, scores, message):
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
