"""The drift monitor: against its formulas, its promise, and changes it must see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from adlib.metrics import DriftMonitor
from adlib.metrics._drift import BETS

SHAPES = [shape for shapes in BETS.values() for shape in shapes]


def naive(reference, scores, random_state):
    """Return all statistics and p-values, each from all scores before it."""
    rng = np.random.default_rng(random_state)
    seen, bets, found, p_values = list(reference), [0.0] * len(SHAPES), [], []
    for score in scores:
        seen.append(score)
        higher = sum(one > score for one in seen)
        equal = sum(one == score for one in seen)
        p_value = (higher + rng.random() * equal) / len(seen)
        for k, shape in enumerate(SHAPES):
            worth = stats.beta.pdf(p_value, *shape)
            bets[k] = (bets[k] + 1 / len(SHAPES)) * worth
        found.append(sum(bets))
        p_values.append(p_value)
    return np.array(found), np.array(p_values)


@pytest.mark.parametrize("seed", range(8))
def test_statistics_are_those_of_the_formulas(seed):
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 10, rng.integers(10, 30))  # with ties
    scores = rng.integers(0, 13, rng.integers(1, 40))
    monitor = DriftMonitor(reference, random_state=seed)
    found = monitor.update(scores)
    expected, _ = naive(reference, scores, seed)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert monitor.statistic == found[-1]
    assert monitor.n_parts == len(scores)


def test_scores_in_parts_give_the_same():
    rng = np.random.default_rng(0)
    reference, scores = rng.normal(size=20), rng.normal(size=50)
    at_once = DriftMonitor(reference).update(scores)
    monitor = DriftMonitor(reference)
    parts = [monitor.update(part) for part in (scores[:7], scores[7:8], scores[8:])]
    np.testing.assert_array_equal(np.concatenate(parts), at_once)


@pytest.mark.slow
def test_p_values_are_uniform_and_bets_are_densities():
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, 5, 60) for _ in range(40)]
    last = [naive(one[:30], one[30:], seed)[1][-1] for seed, one in enumerate(draws)]
    assert stats.kstest(last, "uniform").pvalue > 0.01
    for shape in SHAPES:
        total, _ = integrate.quad(lambda p, s=shape: stats.beta.pdf(p, *s), 0, 1)
        assert total == pytest.approx(1.0, abs=1e-6)


def test_false_alarms_are_as_rare_as_promised():
    lengths = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        monitor = DriftMonitor(
            rng.normal(size=40), parts_between_false_alarms=50, random_state=seed
        )
        while monitor.alarmed_at is None and monitor.n_parts < 2_000:
            monitor.update(rng.normal(size=50))
        at = monitor.alarmed_at
        lengths.append(2_000 if at is None else at + 1)
    error = np.std(lengths) / np.sqrt(len(lengths))
    assert np.mean(lengths) > 50 - 3 * error
    assert np.mean(lengths) < 10 * 50  # and the promise is not an empty one


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (lambda x: x + 3, "higher"),
        (lambda x: x - 3, "lower"),
        (lambda x: 4 * x, "more spread"),
        (lambda x: x / 5, "less spread"),
    ],
)
def test_a_change_is_seen_and_named(change, direction):
    rng = np.random.default_rng(2)
    monitor = DriftMonitor(rng.normal(size=200))
    monitor.update(rng.normal(size=200))
    assert monitor.alarmed_at is None
    assert monitor.direction is None
    monitor.update(change(rng.normal(size=300)))
    assert 200 <= monitor.alarmed_at < 300
    assert monitor.direction == direction


def test_scores_far_out_for_long_stay_finite():
    monitor = DriftMonitor(np.arange(10.0))
    statistics = monitor.update(np.arange(100.0, 3_000.0))
    assert np.isfinite(statistics).all()
    assert monitor.alarmed_at < 20


@pytest.mark.parametrize(
    ("reference", "parts", "error"),
    [
        (np.arange(9), 100, "reference of DriftMonitor must be at least 10 scores"),
        ([np.nan] * 10, 100, "reference of DriftMonitor must be .*finite"),
        (np.arange(10), 0.5, "parts_between_false_alarms of DriftMonitor must be at"),
        (np.arange(10), -1, "parts_between_false_alarms of DriftMonitor must be a fin"),
    ],
)
def test_wrong_values_are_named(reference, parts, error):
    with pytest.raises(ValueError, match=error):
        DriftMonitor(reference, parts_between_false_alarms=parts)


def test_wrong_scores_are_named():
    with pytest.raises(ValueError, match=r"scores of DriftMonitor\.update must be"):
        DriftMonitor(np.arange(10)).update([1.0, np.inf])
