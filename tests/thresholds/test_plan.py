"""Which images are held out, and which rates so few can promise."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.exceptions import InputWarning
from adlib.thresholds import lowest_rate, plan_calibration

LOG_NORMAL = {"threshold_rule": "log-normal"}


@pytest.mark.parametrize(
    ("n_images", "given", "n_held_out", "leave_one_out", "rate"),
    [
        (95, {}, 19, False, 0.05),
        (94, {}, 0, True, 0.05),
        (6, {}, 0, True, lowest_rate(6)),
        (6, {"holdout": 0.5, "false_positive_rate": 0.3}, 3, False, 0.3),
        (6, {"holdout": 0}, 0, False, None),
        (6, {"n_good": 19}, 0, False, 0.05),
        (6, {"n_anomalous": 2}, 1, False, None),
        (50, {"leave_one_out": True, "false_positive_rate": 0.1}, 0, True, 0.1),
        (6, LOG_NORMAL, 0, True, 0.05),
        (50, LOG_NORMAL | {"false_positive_rate": 0.001}, 0, True, 0.001),
        (95, LOG_NORMAL | {"false_positive_rate": 0.001}, 19, False, 0.001),
        (50, LOG_NORMAL | {"holdout": 0.1}, 5, False, 0.05),
        (6, LOG_NORMAL | {"n_good": 4}, 0, False, 0.05),
        (3, LOG_NORMAL | {"holdout": 0}, 0, False, None),
    ],
)
def test_the_rules(n_images, given, n_held_out, leave_one_out, rate):
    plan = plan_calibration(n_images, **given)
    assert len(plan.held_out) == n_held_out
    both = np.concatenate([plan.training, plan.held_out])
    assert sorted(both.tolist()) == list(range(n_images))
    assert plan.leave_one_out is leave_one_out
    assert plan.false_positive_rate == rate


def test_the_draw_is_seeded_and_in_order():
    first, again = (plan_calibration(100, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first.held_out, again.held_out)
    other = plan_calibration(100, random_state=4).held_out
    assert first.held_out.tolist() != other.tolist()
    for drawn in first[:2]:
        assert (np.diff(drawn) > 0).all()


def test_too_few_images_warn():
    with pytest.warns(InputWarning, match="2 images are too few to set a threshold"):
        assert plan_calibration(2).false_positive_rate is None
    with pytest.warns(InputWarning, match="3 images are too few .* Pass 4 or more"):
        plan_calibration(3, threshold_rule="log-normal")
    with pytest.warns(InputWarning, match="5 good images set aside can promise no"):
        plan = plan_calibration(10, holdout=0.5)
    assert plan.false_positive_rate == lowest_rate(5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n_images": 0}, ValueError, "n_images of plan_calibration must be"),
        ({"holdout": 1.0}, ValueError, "holdout of plan_calibration must be"),
        ({"holdout": -0.1}, ValueError, "holdout of plan_calibration must be"),
        (
            {"false_positive_rate": 0.05},
            ValueError,
            "at least 0.333, the lowest that 2",
        ),
        (
            {"false_positive_rate": 0.05, "leave_one_out": True},
            ValueError,
            "lowest that 10 good images can promise; got 0.05. Raise it or pass more",
        ),
        ({"leave_one_out": True, "holdout": 0.2}, ValueError, "False with holdout"),
        ({"n_good": 3, "holdout": 0.2}, ValueError, "None with n_good"),
        ({"n_anomalous": 3, "holdout": 0}, ValueError, "given with good images"),
        (
            {"n_anomalous": 3, "false_positive_rate": 0.3},
            ValueError,
            "and no anomalous ones; got 0.3",
        ),
        ({"holdout": 0, "false_positive_rate": 0.3}, ValueError, "given with good"),
        ({"random_state": -1}, ValueError, "random_state of plan_calibration"),
        (
            LOG_NORMAL | {"n_anomalous": 3},
            ValueError,
            "threshold_rule of .* must be 'quantile' with anomalous images",
        ),
        (LOG_NORMAL | {"n_good": 3}, ValueError, "fewer than 4 images set .* and 3"),
        ({"threshold_rule": "normal"}, ValueError, "one of 'quantile', 'log-normal'"),
        ({"leave_one_out": 1}, TypeError, "leave_one_out of plan_calibration"),
    ],
)
def test_contradictions_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        plan_calibration(**({"n_images": 10} | given))
