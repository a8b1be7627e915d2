"""Intervals equal explicit resampling and scipy's BCa, and cover what they claim."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from adlib.metrics import (
    _bootstrap,
    best_f1,
    bootstrap_interval,
    compute_auprc,
    compute_auroc,
)
from adlib.metrics._bootstrap import Interval

NAMED = {
    "auroc": compute_auroc,
    "average_precision": compute_auprc,
    "best_f1": lambda y, scores: best_f1(y, scores).f1,
}


@pytest.fixture(params=[0, 1, 2])
def labelled(request):
    """Labels in mixed order and scores with ties."""
    rng = np.random.default_rng(request.param)
    y = rng.permutation(np.repeat([0, 1], [13, 22]))
    return y, np.round(rng.normal(y), 1)


def draw(y, n_resamples, seed):
    """Return resamples one at a time: the slow twin of the draws."""
    normal, anomalous = np.random.default_rng(seed).spawn(2)
    kinds = [np.flatnonzero(y == 0), np.flatnonzero(y == 1)]
    for _ in range(n_resamples):
        yield np.concatenate(
            [
                kind[generator.integers(len(kind), size=len(kind))]
                for kind, generator in zip(kinds, (normal, anomalous), strict=True)
            ]
        )


@pytest.mark.parametrize("name", NAMED)
def test_percentiles_equal_explicit_resampling(labelled, name):
    y, scores = labelled
    found = bootstrap_interval(
        name, y, scores, n_resamples=150, method="percentile", confidence=0.9
    )
    values = [NAMED[name](y[i], scores[i]) for i in draw(y, 150, 0)]
    expected = [NAMED[name](y, scores), *np.quantile(values, [0.05, 0.95]), 0.9]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_bca_equals_scipy_on_the_same_resamples(labelled, name):
    y, scores = labelled

    def measure(normal, anomalous):
        labels = np.repeat([0, 1], [len(normal), len(anomalous)])
        # In steps far above rounding, so that both see the same ties with the value.
        return np.round(NAMED[name](labels, np.concatenate([normal, anomalous])), 12)

    values = np.round([NAMED[name](y[i], scores[i]) for i in draw(y, 400, 7)], 12)
    earlier = SimpleNamespace(bootstrap_distribution=values)
    expected = stats.bootstrap(
        (scores[y == 0], scores[y == 1]),
        measure,
        n_resamples=0,
        bootstrap_result=earlier,
        method="BCa",
        vectorized=False,
    ).confidence_interval
    found = bootstrap_interval(name, y, scores, n_resamples=400, random_state=7)
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-9)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_a_function_gives_what_its_name_gives(labelled, name, method):
    y, scores = labelled
    options = {"n_resamples": 60, "method": method, "random_state": 3}
    named = bootstrap_interval(name, y, scores, **options)
    # In steps far above rounding, so that both see the same ties with the value.
    called = bootstrap_interval(
        lambda y, s: round(NAMED[name](y, s), 13), y, scores, **options
    )
    np.testing.assert_allclose(named, called, atol=1e-12)
    of_rows = bootstrap_interval(
        lambda i: round(NAMED[name](y[i], scores[i]), 13), y, **options
    )
    assert of_rows == called


def test_rows_at_a_time_change_nothing(labelled, monkeypatch):
    y, scores = labelled
    given = ("average_precision", y, scores)
    expected = bootstrap_interval(*given, n_resamples=50)
    for cells in (3 * len(y), 1):
        monkeypatch.setattr(_bootstrap, "CELLS", cells)
        assert bootstrap_interval(*given, n_resamples=50) == expected


def test_the_seed_decides_and_the_global_one_stays(labelled):
    y, scores = labelled
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = bootstrap_interval("auroc", y, scores, n_resamples=50)
    assert first == bootstrap_interval("auroc", y, scores, n_resamples=50)
    other = bootstrap_interval("auroc", y, scores, n_resamples=50, random_state=1)
    assert first != other
    bootstrap_interval("auroc", y, scores, n_resamples=50, random_state=None)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_hold_the_truth_as_often_as_they_claim(method):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [40, 60])
    truth = stats.norm.cdf(1 / math.sqrt(2))
    held = 0
    for seed in range(300):
        interval = bootstrap_interval(
            "auroc",
            y,
            rng.normal(y),
            n_resamples=400,
            method=method,
            confidence=0.9,
            random_state=seed,
        )
        held += interval.low <= truth <= interval.high
    # Of 300 at 90 percent, 254 to 286 are within three standard errors.
    assert 254 <= held <= 286


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_without_spread_the_interval_is_the_value(name, method):
    perfect = [0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 1, 2, 3, 4]
    found = bootstrap_interval(name, *perfect, method=method, n_resamples=99)
    assert found == Interval(1.0, 1.0, 1.0, 0.95)
    constant = [0, 0, 1, 1], [1.0, 1.0, 1.0, 1.0]
    found = bootstrap_interval(name, *constant, method=method, n_resamples=99)
    assert found.low == found.value == found.high
    pair = bootstrap_interval(name, [0, 1], [2.0, 1.0], method=method, n_resamples=9)
    assert pair.low == pair.value == pair.high


@pytest.mark.parametrize("name", NAMED)
def test_a_single_image_of_a_kind_is_in_every_resample(name):
    y, scores = [0, 1, 1, 1, 1, 1], [2.0, 1.0, 3.0, 4.0, 0.0, 5.0]
    for labels in (np.array(y), 1 - np.array(y)):
        found = bootstrap_interval(name, labels, scores, n_resamples=200)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_all_resamples_on_one_side_give_finite_bounds():
    # The images themselves are the one sample without a repeat.
    repeats = bootstrap_interval(
        lambda i: len(i) - len(np.unique(i)), np.zeros(30), n_resamples=50
    )
    assert repeats.value == 0
    assert all(map(math.isfinite, repeats))
    mirrored = bootstrap_interval(
        lambda i: len(np.unique(i)) - len(i), np.zeros(30), n_resamples=50
    )
    assert mirrored.low == pytest.approx(-repeats.high)
    assert mirrored.high == pytest.approx(-repeats.low)


def test_the_mean_of_one_kind_equals_scipy():
    values = np.random.default_rng(0).gamma(1.0, size=50)
    generator = np.random.default_rng(0).spawn(1)[0]
    means = values[generator.integers(50, size=(500, 50))].mean(axis=1)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=means),
    ).confidence_interval
    found = bootstrap_interval(lambda i: values[i].mean(), np.ones(50), n_resamples=500)
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metric": "auc"}, ValueError, "metric of bootstrap_interval must be one of"),
        ({"metric": 3}, TypeError, "metric of bootstrap_interval must be one of"),
        ({"metric": best_f1}, TypeError, "returns a finite number; got BestF1"),
        ({"metric": lambda y, s: math.nan}, ValueError, "finite number; got nan"),
        ({"confidence": 1.0}, ValueError, "confidence of bootstrap_interval"),
        ({"n_resamples": 0}, ValueError, "n_resamples of bootstrap_interval"),
        ({"method": "basic"}, ValueError, "method of bootstrap_interval"),
        ({"random_state": -1}, ValueError, "random_state of bootstrap_interval"),
        ({"y_true": [0, 0, 0]}, ValueError, "got normal ones alone"),
        ({"scores": [0, 1, math.nan]}, ValueError, "1 of 3 NaN or infinite"),
    ],
)
def test_what_cannot_be_resampled_is_refused(options, error, message):
    given = {"metric": "auroc", "y_true": [0, 1, 1], "scores": [0, 1, 2]} | options
    with pytest.raises(error, match=message):
        bootstrap_interval(**given)


def test_statistics_that_are_none_are_refused():
    with pytest.raises(TypeError, match="must be a function where scores is None"):
        bootstrap_interval("auroc", [0, 1])
    with pytest.raises(TypeError, match="returns a finite number; got None"):
        bootstrap_interval(lambda i: None, [0, 1])
