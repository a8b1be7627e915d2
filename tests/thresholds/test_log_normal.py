"""The log-normal threshold against integrals, simulations, and what it is for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adlib.thresholds import conformal_threshold, log_normal_threshold
from adlib.thresholds._log_normal import _factor
from tests.thresholds import naive


@pytest.mark.parametrize("rate", [0.3, 0.01])
@pytest.mark.parametrize("n_scores", [4, 9, 64])
def test_the_factor_gives_the_rate_by_the_textbooks_density(n_scores, rate):
    assert naive.exceeding(_factor(n_scores, rate), n_scores) == pytest.approx(
        rate, rel=2e-3
    )


@pytest.mark.parametrize("rate", [0.2, 0.05, 0.01])
def test_of_many_scores_it_is_the_laws_own_quantile(rate):
    factor = _factor(100_001, rate)
    assert factor == pytest.approx(stats.norm.isf(rate) / stats.norm.isf(0.25), 2e-3)


@pytest.mark.slow
@given(
    st.lists(st.floats(0.01, 100), min_size=4, max_size=40, unique=True),
    st.sampled_from([0.4, 0.1, 0.05]),
)
def test_it_follows_its_definition(scores, rate):
    ordered, n_scores = sorted(scores), len(scores)
    middle = ordered[(n_scores + 1) // 2 - 1]
    upper = ordered[3 * (n_scores - 1) // 4]
    expected = middle * (upper / middle) ** _factor(n_scores, rate)
    if expected > np.finfo(np.float32).max:
        with pytest.raises(ValueError, match="gives a threshold for"):
            log_normal_threshold(scores, rate)
    else:
        found = log_normal_threshold(scores, rate)
        assert found == pytest.approx(expected, rel=1e-9)
        assert log_normal_threshold(scores[::-1], rate) == found


def rates(draws, law, rate, threshold=log_normal_threshold):
    return law.sf([threshold(scores, rate) for scores in draws])


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.01])
@pytest.mark.parametrize("n_scores", [8, 16, 33])
def test_the_mean_rate_of_log_normal_scores_is_the_one_asked_for(n_scores, rate):
    law = stats.lognorm(0.3)
    rng = np.random.default_rng([n_scores, round(1000 * rate)])
    found = rates(law.rvs((2000, n_scores), random_state=rng), law, rate)
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - rate) <= 4 * error
    assert error < rate / 8  # or the test above could not fail


@pytest.mark.parametrize("n_odd", [1, 2])
def test_odd_scores_hardly_move_it(n_odd):
    law, rng = stats.lognorm(0.2), np.random.default_rng(0)
    draws = law.rvs((300, 16), random_state=rng)
    before = np.mean(rates(draws, law, 0.1))
    draws[:, :n_odd] = 1e6
    assert (
        np.array([conformal_threshold(scores, 0.1) for scores in draws]).min() == 1e6
    )  # which then lets every defect pass
    after = np.mean(rates(draws, law, 0.1))
    assert before / 4 < after < before


def test_a_score_of_0_below_the_median_is_one():
    scores = np.array([0.0, 2.0, 3.0, 4.0, 5.0])
    assert log_normal_threshold(scores, 0.1) == pytest.approx(
        3 * (4 / 3) ** _factor(5, 0.1)
    )


@pytest.mark.parametrize(
    ("scores", "rate", "fragment"),
    [
        ([1.0, 2.0, 3.0], 0.1, "at least 4 scores for a log-normal law; got 3"),
        ([-1.0, 1.0, 2.0, 3.0, 4.0], 0.1, "at least 0, with an upper quartile"),
        ([0.0, 0.0, 0.0, 3.0, 4.0], 0.1, "median 0, upper quartile 3"),
        ([1.0, 2.0, 2.0, 2.0, 4.0], 0.1, 'threshold_rule="quantile"'),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.5, "below 0.5, since only scores above"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1.0, "a number in (0, 1)"),
        ([1.0, 2.0, 9.0, 99.0, 99.0], 1e-4, "a log-normal law of 5 scores gives"),
        ([1.0, np.nan, 3.0, 4.0], 0.1, "scores_normal of log_normal_threshold"),
    ],
)
def test_what_has_no_such_threshold_is_refused(scores, rate, fragment):
    with pytest.raises(ValueError, match=re.escape(fragment)):
        log_normal_threshold(scores, rate)
