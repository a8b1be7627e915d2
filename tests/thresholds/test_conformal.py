"""The conformal threshold keeps its promise, by exact rates of many calibrations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adlib.thresholds import conformal_rate_interval, conformal_threshold, lowest_rate
from tests.thresholds import naive

N_CALIBRATIONS = 2000
CONTINUOUS = {
    "normal": stats.norm(),
    "heavy tails": stats.cauchy(),
    "skewed": stats.lognorm(1.5),
}
TIED = {
    "counts": stats.poisson(3),
    "dice": stats.randint(1, 7),
    "two values": stats.bernoulli(0.5),
}


def rates(name, n_normal, rate):
    """Return each calibration's rate, from the distribution and not from samples."""
    distribution = (CONTINUOUS | TIED)[name]
    # Of its own seed: else rising functions of the same draws give the same rates.
    rng = np.random.default_rng([0, *name.encode(), n_normal, round(rate * 1e6)])
    draws = distribution.rvs((N_CALIBRATIONS, n_normal), random_state=rng)
    thresholds = [conformal_threshold(scores, rate) for scores in draws]
    return distribution.sf(thresholds)


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


@given(
    st.lists(st.integers(0, 30).map(float), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5, 0.99]),
)
def test_it_is_the_score_of_the_rank_in_the_definition(scores, rate):
    if (len(scores) + 1) * rate < 1:
        with pytest.raises(ValueError, match="needs more normal images; got"):
            conformal_threshold(scores, rate)
    else:
        assert conformal_threshold(scores, rate) == naive.conformal(scores, rate)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n_normal", [39, 100])
@pytest.mark.parametrize("name", [*CONTINUOUS, *TIED])
def test_the_mean_rate_is_at_most_the_promised_one(name, n_normal, rate):
    found = rates(name, n_normal, rate)
    assert found.mean() <= rate + 3 * standard_error(found)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n_normal", [39, 100])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_without_ties_rates_are_spread_as_the_interval_says(name, n_normal, rate):
    found = rates(name, n_normal, rate)
    expected = conformal_rate_interval(n_normal, rate, 0.9)
    assert expected.mean <= rate
    assert found.mean() == pytest.approx(expected.mean, abs=4 * standard_error(found))
    below = (found < expected.low).mean()
    above = (found > expected.high).mean()
    # Of 2,000 calibrations 5 % are out at each end; the standard error is 0.5 %.
    assert below == pytest.approx(0.05, abs=0.02)
    assert above == pytest.approx(0.05, abs=0.02)


def test_the_interval_is_what_binomial_counts_say():
    # The rate is at most p where at least l of n uniform scores lie above 1 - p.
    n_normal, rate, n_above = 99, 0.05, 5
    mean, low, high = conformal_rate_interval(n_normal, rate, 0.8)
    assert mean == pytest.approx(0.05)
    assert stats.binom(n_normal, low).sf(n_above - 1) == pytest.approx(0.1)
    assert stats.binom(n_normal, high).sf(n_above - 1) == pytest.approx(0.9)


@pytest.mark.parametrize(("rate", "fewest"), [(0.05, 19), (0.1, 9), (0.5, 1), (0.3, 3)])
def test_too_few_scores_for_the_rate_are_refused(rate, fewest):
    scores = np.arange(fewest + 1, dtype=float)[1:]
    assert conformal_threshold(scores, rate) == scores[-1]
    assert lowest_rate(fewest) <= rate < lowest_rate(fewest - 1)
    if fewest > 1:
        message = f"of calibrate needs more normal images; got {fewest - 1}, which"
        with pytest.raises(ValueError, match=message):
            conformal_threshold(scores[:-1], rate, owner="calibrate")
        with pytest.raises(ValueError, match="of conformal_rate_interval needs more"):
            conformal_rate_interval(fewest - 1, rate)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 0.5), ValueError, "n_normal of conformal_rate_interval"),
        ((9, 1.0), ValueError, "false_positive_rate of conformal_rate_interval"),
        ((9, 0.5, 1.0), ValueError, "confidence of conformal_rate_interval"),
        ((9.5, 0.5), TypeError, "n_normal of conformal_rate_interval"),
    ],
)
def test_impossible_intervals_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        conformal_rate_interval(*arguments)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_none_or_of_all_is_refused(rate):
    match = r"false_positive_rate of calibrate must be a number in \(0, 1\)"
    with pytest.raises(ValueError, match=match):
        conformal_threshold(np.arange(9.0), rate, owner="calibrate")
