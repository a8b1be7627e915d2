"""Labels mean what the two conventions say, and nothing else is taken."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.estimators._labels import as_anomalous, one_is_anomalous


@pytest.mark.parametrize(
    ("labels", "anomalous"),
    [
        ([1, -1, 1], [False, True, False]),
        ([0, 1, 0], [False, True, False]),
        ([False, True], [False, True]),
        ([1, 1], [False, False]),
        ([-1, -1], [True, True]),
        ([0, 0], [False, False]),
        ([1.0, -1.0], [False, True]),
        ([0.0, 1.0], [False, True]),
        (np.array([0, 1], np.uint8), [False, True]),
        (np.array([-1, 1], np.int8), [True, False]),
        ((True, True), [True, True]),
    ],
)
def test_labels_mean_what_the_conventions_say(labels, anomalous):
    found = as_anomalous(labels, "here")
    assert found.dtype == np.bool_
    assert found.tolist() == anomalous


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, -1, 1], False),
        ([0, 1, 0], True),
        ([0.0, 0.0], True),
        ([True, True], True),
        ([1, 1], False),
    ],
)
def test_what_one_means_is_known_from_the_other_label(labels, expected):
    assert one_is_anomalous(labels) is expected


@pytest.mark.parametrize(
    ("labels", "fragment"),
    [
        ([-1, 0, 1], "the values -1, 0, 1"),
        ([0, 2], "the values 0, 2"),
        ([0.5, 1.0], r"the values 0\.5, 1\.0"),
        ([1.0, np.nan], "nan"),
        (["good", "bad"], "<U4"),
        ([[1], [-1]], r"shape \(2, 1\)"),
        ([], r"shape \(0,\)"),
        (1, r"shape \(\)"),
    ],
)
def test_other_labels_are_refused(labels, fragment):
    with pytest.raises(ValueError, match=r"y of here must be \+1 normal.*" + fragment):
        as_anomalous(labels, "here")
