"""Probabilities against scikit-learn, an optimiser, and what a map must keep to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from adlib.metrics import (
    IsotonicMap,
    LogisticMap,
    ProbabilityMap,
    expected_calibration_error,
    fit_probabilities,
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
def test_maps_come_back_from_json_bit_by_bit(method):
    labels, scores = drawn(3)
    probability = fit_probabilities(labels, scores, method)
    text = json.dumps(probability.as_dict())
    again = ProbabilityMap.from_dict(json.loads(text))
    assert type(again) is type(probability)
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


def test_knots_are_copied_and_cannot_be_changed():
    own = np.array([1.0, 2.0])
    knots = IsotonicMap(own, np.array([0.1, 0.9]))
    own[0] = 5.0
    assert knots([1.5]).tolist() == [0.5]
    with pytest.raises(ValueError, match="read-only"):
        knots.scores[0] = 5.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_probabilities([0, 0], [1.0, 2.0]), "normal ones alone"),
        (lambda: fit_probabilities([0, 1], [1.0, 2.0], "beta"), "method of fit_prob"),
        (lambda: LogisticMap(1.0, 0.0, 0.0)([np.nan]), "scores of LogisticMap must"),
        (lambda: LogisticMap(-1.0, 0.0, 0.0), "slope of LogisticMap must be at least"),
        (lambda: LogisticMap(1.0, np.inf, 0.0), "offset of LogisticMap must be a fin"),
        (lambda: IsotonicMap([1, 1], [0.1, 0.2]), "scores of IsotonicMap must be str"),
        (lambda: IsotonicMap([1, 2], [0.2, 0.1]), "probabilities of IsotonicMap must"),
        (lambda: IsotonicMap([1, 2], [0.0, 0.1]), "probabilities of IsotonicMap must"),
        (lambda: IsotonicMap([1, 2], [0.1, 1.0]), "probabilities of IsotonicMap must"),
        (lambda: IsotonicMap([1, 2], [0.1, 1.5]), "probabilities of IsotonicMap must"),
        (lambda: IsotonicMap([1, 2], [0.1]), r"must be \(2,\), never falling"),
        (lambda: ProbabilityMap.from_dict({}), "must be what as_dict returned"),
        (
            lambda: ProbabilityMap.from_dict({"method": "logistic", "slope": 1.0}),
            "must be what as_dict returned",
        ),
        (
            lambda: ProbabilityMap.from_dict(
                {"method": "isotonic", "scores": [2, 1], "probabilities": [0.1, 0.2]}
            ),
            "must be what as_dict returned.*strictly rising",
        ),
    ],
)
def test_what_is_no_map_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
