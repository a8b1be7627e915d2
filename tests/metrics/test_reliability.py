"""Reliability against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from adlib.metrics import brier_score, expected_calibration_error, reliability

PREDICTED = st.one_of(
    st.lists(st.floats(0, 1), min_size=2, max_size=40),
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), min_size=2, max_size=40),
)
STRATEGIES = st.sampled_from(["quantile", "uniform"])


def labels_of(probabilities, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(len(probabilities)) < probabilities).astype(int)
    labels[:2] = 0, 1  # scikit-learn wants both
    return labels


@given(PREDICTED, STRATEGIES, st.integers(1, 12))
def test_curves_are_scikit_learns(probabilities, strategy, n_bins):
    labels = labels_of(probabilities)
    curve = reliability(labels, probabilities, n_bins, strategy)
    wanted = calibration_curve(labels, probabilities, n_bins=n_bins, strategy=strategy)
    np.testing.assert_allclose(curve.observed, wanted[0], atol=1e-12)
    np.testing.assert_allclose(curve.predicted, wanted[1], atol=1e-12)
    assert curve.counts.sum() == len(probabilities)
    assert (curve.edges[:, 0] <= curve.predicted + 1e-12).all()
    assert (curve.predicted <= curve.edges[:, 1] + 1e-12).all()


@given(PREDICTED)
def test_the_brier_score_is_scikit_learns(probabilities):
    labels = labels_of(probabilities)
    wanted = brier_score_loss(labels, probabilities)
    assert brier_score(labels, probabilities) == pytest.approx(wanted, abs=1e-12)


def test_the_expected_error_by_hand():
    labels, probabilities = [0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8]
    # Two bins of two: 0.2 predicted and 0.5 observed, then 0.7 and 1.
    for strategy in ("uniform", "quantile"):
        found = expected_calibration_error(labels, probabilities, 2, strategy)
        assert found == pytest.approx(0.3)
    # One bin of three and one of one: (3 * |1/3 - 2/3| + |0.8 - 1|) / 4.
    probabilities = [0.1, 0.4, 0.5, 0.8]
    found = expected_calibration_error(labels, probabilities, 2, "uniform")
    assert found == pytest.approx((3 * (1 / 3) + 0.2) / 4)


def test_true_probabilities_have_hardly_any_error():
    rng = np.random.default_rng(0)
    probabilities = rng.random(100_000)
    labels = rng.random(100_000) < probabilities
    assert expected_calibration_error(labels, probabilities) < 0.01
    assert expected_calibration_error(labels, probabilities**2) > 0.1


def test_labels_of_one_kind_do():
    curve = reliability([0, 0], [0.2, 0.4], 1)
    assert curve.predicted.tolist() == [pytest.approx(0.3)]
    assert curve.observed.tolist() == [0.0]
    assert curve.counts.tolist() == [2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1], [0.5, 1.5]), ValueError, r"must be in \[0, 1\]; got values from 0.5"),
        (([0, 1], [0.5]), ValueError, "probabilities of reliability must be as long"),
        (([0, 2], [0.5, 0.5]), ValueError, "y_true of reliability must be"),
        (([0, 1], [0.5, np.nan]), ValueError, "probabilities of reliability must be"),
        (([0, 1], [0.5, 0.5], 0), ValueError, "n_bins of reliability must be"),
        (([0, 1], [0.5, 0.5], 2, "even"), ValueError, "strategy of reliability must"),
        (([0, 1], ["a", "b"]), TypeError, "probabilities of reliability must be"),
    ],
)
def test_what_is_no_prediction_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        reliability(*arguments)
