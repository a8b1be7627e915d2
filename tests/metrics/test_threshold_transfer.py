"""Thresholds carried over stand where they stood."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.metrics import transfer_threshold


@pytest.mark.parametrize("rule", ["spread", "quantile"])
def test_a_threshold_follows_scores_that_are_stretched_and_moved(rule):
    rng = np.random.default_rng(0)
    before = rng.gamma(3.0, size=201)
    moved = transfer_threshold(5.0, before, 40 + 7 * before, rule=rule)
    assert np.array_equal(40 + 7 * before > moved, before > 5.0)


def test_the_location_moves_as_the_median_does():
    before, after = [1.0, 2.0, 9.0], [4.0, 4.5, 4.6]
    assert transfer_threshold(3.0, before, after, rule="location") == 5.5


def test_a_quantile_keeps_the_share_above_among_other_numbers_of_images():
    before = np.arange(10.0)
    after = np.arange(100.0, 140.0)
    moved = transfer_threshold(6.5, before, after, rule="quantile")
    assert np.mean(after > moved) == np.mean(before > 6.5)


def test_every_image_can_stay_above():
    after = np.array([3.0, 4.0])
    assert (after > transfer_threshold(0.0, [1.0, 2.0], after, rule="quantile")).all()
    assert transfer_threshold(5.0, [1.0, 2.0], after, rule="quantile") == 4.0


def test_scores_without_spread_are_refused_where_it_counts():
    with pytest.raises(ValueError, match="Take the rule 'location'"):
        transfer_threshold(1.0, [2.0, 2.0, 2.0, 5.0], [1.0, 2.0])
    assert transfer_threshold(1.0, [2.0, 2.0], [5.0], rule="location") == 4.0


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule of transfer_threshold"):
        transfer_threshold(1.0, [1.0], [1.0], rule="mean")
