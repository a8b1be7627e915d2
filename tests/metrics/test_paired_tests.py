"""Paired tests equal their definitions, and cry wolf as rarely as they say."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import paired_permutation_test
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test


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
