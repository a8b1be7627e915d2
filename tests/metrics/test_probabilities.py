"""Probabilities against scikit-learn, an optimiser, and what a map must keep to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from adlib.metrics import fit_probabilities
from adlib.metrics._probabilities import (
    brier_score,
    expected_calibration_error,
    reliability,
)

METHODS = ("isotonic", "logistic")


def drawn(seed=0, n=200, levels=None):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(int)
    labels[:2] = 0, 1
    scores = rng.normal(size=n) + 1.5 * labels
    return labels, scores if levels is None else np.round(scores * levels) / levels


def platt(labels, scores):
    """Minimise the cross-entropy of Platt's targets, its slope at least 0."""
    n_anomalous = labels.sum()
    targets = np.where(
        labels == 1,
        (n_anomalous + 1) / (n_anomalous + 2),
        1 / (len(labels) - n_anomalous + 2),
    )

    def loss(parameters):
        z = parameters[0] * scores + parameters[1]
        return np.sum(np.logaddexp(0, z) - targets * z)

    bounds = [(0, None), (None, None)]
    found = minimize(loss, [1.0, 0.0], bounds=bounds, options={"ftol": 1e-15})
    return 1 / (1 + np.exp(-(found.x[0] * scores + found.x[1])))


@given(st.integers(0, 1000), st.sampled_from([None, 2]))
def test_isotonic_is_scikit_learns_kept_off_the_ends(seed, levels):
    labels, scores = drawn(seed, 30, levels)
    found = fit_probabilities(labels, scores, "isotonic")
    plain = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    n_anomalous = labels.sum()
    ends = 1 / (32 - n_anomalous), (n_anomalous + 1) / (n_anomalous + 2)
    wanted = np.clip(plain.predict(scores), *ends)
    np.testing.assert_allclose(found(scores), wanted, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sign", [1, -1])
def test_logistic_is_platts_optimum(seed, sign):
    labels, scores = drawn(seed)
    found = fit_probabilities(labels, sign * scores, "logistic")(sign * scores)
    np.testing.assert_allclose(found, platt(labels, sign * scores), atol=2e-4)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 1000),
    st.sampled_from(METHODS),
    st.sampled_from([None, 1]),
    st.sampled_from([1.0, -1.0, 1e-8, 1e8]),
)
def test_maps_rise_and_stay_between_0_and_1(seed, method, levels, scale):
    labels, scores = drawn(seed, 12, levels)
    probability = fit_probabilities(labels, scale * scores, method)
    tried = np.sort(np.concatenate([scale * scores, np.linspace(-9e9, 9e9, 99)]))
    found = probability(tried)
    assert (np.diff(found) >= 0).all()
    assert found.min() > 0
    assert found.max() < 1


@pytest.mark.parametrize("method", METHODS)
def test_the_numbers_of_a_map_go_into_json(method):
    labels, scores = drawn(3)
    probability = fit_probabilities(labels, scores, method)
    numbers = json.loads(json.dumps(probability._asdict()))
    again = type(probability)(**numbers)
    np.testing.assert_array_equal(again(scores), probability(scores))


@pytest.mark.parametrize("method", METHODS)
def test_separated_scores_end_at_platts_targets(method):
    labels, scores = np.repeat([0, 1], [8, 3]), np.arange(11.0)
    found = fit_probabilities(labels, scores, method)(scores)
    if method == "isotonic":
        wanted = np.repeat([1 / 10, 4 / 5], [8, 3])
        np.testing.assert_allclose(found, wanted)
    assert (found[:8] < 0.5).all()
    assert (found[8:] > 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_equal_scores_give_the_share_of_anomalous_images(method):
    labels = np.repeat([0, 1], [300, 100])
    found = fit_probabilities(labels, np.full(400, 7.0), method)([7.0, 9.0])
    np.testing.assert_allclose(found, 0.25, atol=0.005)


@pytest.mark.parametrize("method", METHODS)
def test_new_images_are_anomalous_as_often_as_predicted(method):
    labels, scores = drawn(0, 4000)
    new_labels, new_scores = drawn(1, 4000)
    probability = fit_probabilities(labels, scores, method)
    assert expected_calibration_error(new_labels, probability(new_scores)) < 0.03


def test_large_scores_lose_no_digits():
    labels, scores = drawn(0, 50)
    wanted = fit_probabilities(labels, scores, "logistic")(scores)
    shifted = fit_probabilities(labels, scores + 2.0**30, "logistic")
    np.testing.assert_allclose(shifted(scores + 2.0**30), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_probabilities([0, 0], [1.0, 2.0]), "normal ones alone"),
        (lambda: fit_probabilities([0, 1], [1.0, 2.0], "beta"), "method of fit_prob"),
        (
            lambda: fit_probabilities([0, 1], [1.0, 2.0], "logistic")([np.nan]),
            "scores of LogisticMap must",
        ),
    ],
)
def test_what_has_no_probability_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


PREDICTED = st.one_of(
    st.lists(st.floats(0, 1), min_size=2, max_size=40),
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), min_size=2, max_size=40),
).map(np.array)


def labels_of(probabilities, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random(len(probabilities)) < probabilities
    labels[:2] = False, True  # scikit-learn wants both
    return labels


@given(PREDICTED, st.integers(1, 12))
def test_curves_are_scikit_learns(probabilities, n_bins):
    labels = labels_of(probabilities)
    curve = reliability(labels, probabilities, n_bins)
    wanted = calibration_curve(
        labels, probabilities, n_bins=n_bins, strategy="quantile"
    )
    np.testing.assert_allclose(curve.observed, wanted[0], atol=1e-12)
    np.testing.assert_allclose(curve.predicted, wanted[1], atol=1e-12)
    assert curve.counts.sum() == len(probabilities)


@given(PREDICTED)
def test_the_brier_score_is_scikit_learns(probabilities):
    labels = labels_of(probabilities)
    wanted = brier_score_loss(labels, probabilities)
    assert brier_score(labels, probabilities) == pytest.approx(wanted, abs=1e-12)


def test_the_expected_error_by_hand():
    labels = np.array([0, 1, 1, 1, 1], bool)
    # Two bins of two: 0.2 predicted and 0.5 observed, then 0.7 and 1.
    found = expected_calibration_error(labels[:4], np.array([0.1, 0.3, 0.6, 0.8]), 2)
    assert found == pytest.approx(0.3)
    # One bin of three, up to the median, and one of two: 0.2 and 2/3, then 0.7 and 1.
    found = expected_calibration_error(labels, np.array([0.1, 0.2, 0.3, 0.6, 0.8]), 2)
    assert found == pytest.approx((3 * (2 / 3 - 0.2) + 2 * 0.3) / 5)


def test_true_probabilities_have_hardly_any_error():
    rng = np.random.default_rng(0)
    probabilities = rng.random(100_000)
    labels = rng.random(100_000) < probabilities
    assert expected_calibration_error(labels, probabilities) < 0.01
    assert expected_calibration_error(labels, probabilities**2) > 0.1


def test_labels_of_one_kind_do():
    curve = reliability(np.array([False, False]), np.array([0.2, 0.4]), 1)
    assert curve.predicted.tolist() == [pytest.approx(0.3)]
    assert curve.observed.tolist() == [0.0]
    assert curve.counts.tolist() == [2]
