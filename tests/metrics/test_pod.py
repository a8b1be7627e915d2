"""POD curves: against a search over all lines, scikit-learn, and a known truth."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from adlib.exceptions import InputWarning
from adlib.metrics import fit_pod

SIZES = np.geomspace(2, 64, 60)


def pod(sizes, a50=10.0, slope=3.0):
    return 1 / (1 + (a50 / sizes) ** slope)


def drawn(seed, sizes=SIZES, **truth):
    return np.random.default_rng(seed).random(len(sizes)) < pod(sizes, **truth)


def quiet(sizes, found):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return fit_pod(sizes, found)


def naive(sizes, found, at):
    """Return the lowest POD of all lines, of a fine net, that are not excluded.

    The line is given by its log-odds at 10 and its slope.
    """
    log_odds, slopes = np.linspace(-8, 12, 801), np.linspace(0, 14, 701)
    highest, lowest = -math.inf, 1.0
    kept = []
    for slope in slopes:
        lines = log_odds[:, None] + slope * np.log(sizes / 10)
        chances = 1 / (1 + np.exp(np.where(found, -lines, lines)))
        likelihood = np.log(np.maximum(chances, 1e-300)).sum(axis=1)
        highest = max(highest, likelihood.max())
        kept.append((slope, likelihood))
    limit = highest - stats.chi2.ppf(0.9, 2) / 2
    for slope, likelihood in kept:
        inside = log_odds[likelihood >= limit]
        if inside.size:
            line = inside.min() + slope * math.log(at / 10)
            lowest = min(lowest, 1 / (1 + math.exp(-line)))
    return lowest


@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_that_of_scikit_learn(seed):
    found = drawn(seed)
    curve = fit_pod(SIZES, found)
    oracle = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000)
    oracle.fit(np.log(SIZES)[:, None], found)
    assert curve.slope == pytest.approx(oracle.coef_[0, 0], rel=1e-4)
    assert curve.intercept == pytest.approx(oracle.intercept_[0], rel=1e-4)
    chances = oracle.predict_proba(np.log([[3.0], [20.0]]))[:, 1]
    np.testing.assert_allclose(curve([3.0, 20.0]), chances, rtol=1e-4)
    assert curve([curve.a50])[0] == pytest.approx(0.5)
    assert curve([curve.a90])[0] == pytest.approx(0.9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_bound_is_that_of_a_search_over_all_lines(seed):
    found = drawn(seed)
    curve = fit_pod(SIZES, found)
    for at in (5.0, 10.0, 30.0):
        bound = curve.lower([at])[0]
        assert bound == pytest.approx(naive(SIZES, found, at), abs=0.01)
        assert bound < curve([at])[0]


@pytest.mark.parametrize("seed", range(4))
def test_a90_95_is_where_the_bound_reaches_90_percent(seed):
    curve = fit_pod(SIZES, drawn(seed, a50=6.0))
    assert curve.a50 < curve.a90 < curve.a90_95 < 64
    assert curve.lower([curve.a90_95])[0] == pytest.approx(0.9, abs=1e-6)
    assert (np.diff(curve.lower(SIZES)) >= 0).all()


@pytest.mark.slow
def test_the_bound_holds_the_true_size_as_often_as_it_says():
    sizes, true = np.geomspace(2, 64, 80), 10 * 9 ** (1 / 3)
    curves = [quiet(sizes, drawn(seed, sizes)) for seed in range(300)]
    covered = np.mean([curve.a90_95 >= true for curve in curves])
    assert covered >= 0.93  # 95 % less two standard errors
    assert np.mean([curve.a90 >= true for curve in curves]) < 0.7
    assert np.median([curve.a90_95 for curve in curves]) < 2 * true


def test_more_defects_narrow_the_bound():
    many = np.tile(SIZES, 10)
    assert fit_pod(many, drawn(0, many)).a90_95 < fit_pod(SIZES, drawn(0)).a90_95


def test_units_do_not_matter():
    found = drawn(5)
    a, b = fit_pod(SIZES, found), fit_pod(0.05 * SIZES, found)
    for size, other in ((a.a50, b.a50), (a.a90, b.a90), (a.a90_95, b.a90_95)):
        assert 0.05 * size == pytest.approx(other, rel=1e-6)


def test_sizes_that_are_not_reached_are_infinite_and_none_is_extrapolated():
    small = SIZES[SIZES < 15]
    curve = fit_pod(small, drawn(0, small))
    assert curve.a50 < 15
    assert curve.a90 == curve.a90_95 == math.inf
    assert np.isnan(curve([1.0, 20.0])).all()
    assert np.isnan(curve.lower([1.0, 20.0])).all()
    large = SIZES[SIZES > 15]
    curve = fit_pod(large, drawn(0, large))
    assert curve.a50 == large.min() < curve.a90 < curve.a90_95 == math.inf


def test_of_separated_sizes_only_the_bound_is_given():
    with pytest.warns(InputWarning, match=r"from size 10.4 on were found, and none be"):
        curve = fit_pod(SIZES, SIZES > 10)
    assert curve.separated
    assert math.isnan(curve.slope)
    assert curve.a50 == curve.a90 == SIZES[SIZES > 10].min()
    np.testing.assert_array_equal(curve([5.0, 10.1, 20.0]), [0, math.nan, 1])
    # All of the k that are smaller than a90/95 would have had to be found by chance.
    assert curve.a90 < curve.a90_95 < 1.5 * curve.a90
    lower = curve.lower(SIZES)
    assert (np.diff(lower) >= 0).all()
    assert lower[0] < 1e-6
    assert lower[-1] > 0.99
    # Nearly the same data, which have a maximum, have nearly the same bound.
    found = SIZES > 10
    found[[27, 28]] = found[[28, 27]]
    assert fit_pod(SIZES, found).a90_95 == pytest.approx(curve.a90_95, rel=0.35)


def test_a_size_both_found_and_missed_may_be_all_that_is_uncertain():
    sizes = np.repeat([4.0, 8.0, 16.0], 20)
    found = (sizes > 8) | ((sizes == 8) & (np.arange(60) % 2 == 0))
    curve = quiet(sizes, found)
    assert curve.separated
    assert curve.a90 == 8
    assert 8 < curve.a90_95 < 16
    # At 8 it is the bound of 10 of 20, by the likelihood ratio.
    bound = curve.lower([8.0])[0]
    ratio = 2 * (20 * math.log(0.5) - 10 * math.log(bound * (1 - bound)))
    assert ratio == pytest.approx(stats.chi2.ppf(0.9, 2), abs=1e-4)


def test_where_all_or_none_are_found_it_is_said():
    with pytest.warns(InputWarning, match="All of 60 defects from size 2 on were foun"):
        curve = fit_pod(SIZES, np.ones(60))
    assert curve.a50 == curve.a90 == 2
    assert 2 < curve.a90_95 < 4
    with pytest.warns(InputWarning, match="None of 60 defects up to size 64 was found"):
        curve = fit_pod(SIZES, np.zeros(60))
    assert curve.a50 == curve.a90 == curve.a90_95 == math.inf
    assert not curve.lower(SIZES).any()


def test_a_curve_never_falls():
    curve = fit_pod(SIZES, SIZES < 10)
    assert curve.slope == 0
    share = np.mean(SIZES < 10)
    np.testing.assert_allclose(curve(SIZES), share)
    assert curve.a90 == math.inf
    assert (curve.lower(SIZES) < share).all()


@pytest.mark.parametrize(
    ("sizes", "found", "fragment"),
    [
        ([1.0, 0.0], [1, 0], "sizes of fit_pod must be"),
        ([1.0, math.nan], [1, 0], "sizes of fit_pod must be"),
        ([3.0, 3.0], [1, 0], "two different sizes at least; got 3 alone"),
        ([1.0, 2.0], [1, 0, 1], "found of fit_pod must be as long as sizes"),
        ([1.0, 2.0], [1, 2], "found of fit_pod must be"),
        ([], [], "sizes of fit_pod must be"),
    ],
)
def test_what_is_no_test_of_sizes_is_refused(sizes, found, fragment):
    with pytest.raises(ValueError, match=fragment):
        fit_pod(sizes, found)


def test_sizes_to_evaluate_are_checked():
    curve = fit_pod(SIZES, drawn(0))
    for method in (curve, curve.lower):
        with pytest.raises(ValueError, match="sizes of PodCurve"):
            method([-1.0])
