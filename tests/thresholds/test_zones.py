"""Thresholds of pixels equal those of all pixels sorted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.thresholds import zone_thresholds
from tests.thresholds import naive

RATES = st.sampled_from([0.001, 0.01, 0.05, 0.29, 0.5, 0.9, 0.99])


def drawn(seed, levels=10**6, n_maps=4):
    """Draw maps of several sizes, with values of both signs, ties and extremes."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(n_maps):
        size = rng.integers(3, 12, 2)
        values = rng.integers(-levels, levels + 1, size) * rng.choice([1e-40, 1, 1e30])
        maps.append(values.astype(np.float32))
    maps[0][0, 0], maps[0][1, 1] = -0.0, 0.0
    return maps


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 3, 10**6]),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    RATES,
)
def test_thresholds_are_those_of_all_pixels_sorted(seed, levels, zones, rate):
    maps = drawn(seed, levels)
    found = zone_thresholds(maps, zones, false_positive_rate=rate).thresholds
    np.testing.assert_array_equal(found, naive.zone_quantiles(maps, zones, rate))


def test_large_maps_equal_numpys_quantile():
    maps = np.random.default_rng(0).normal(size=(20, 64, 96)).astype(np.float32)
    maps[:, :32] += np.float32(5)
    wanted = np.quantile(maps, 1 - 0.003, method="inverted_cdf")
    whole = zone_thresholds(maps, (1, 1), false_positive_rate=0.003)
    assert whole.thresholds == [[wanted]]
    halves = zone_thresholds(maps, (2, 1), false_positive_rate=0.003).thresholds
    for half, part in zip(halves[:, 0], (maps[:, :32], maps[:, 32:]), strict=True):
        assert half == np.quantile(part, 1 - 0.003, method="inverted_cdf")
        assert (part > half).mean() <= 0.003


def test_zones_cover_maps_of_any_size_in_order():
    # Every value of a zone's pixels is its number, so that each quantile is it too.
    own = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    zones = zone_thresholds(np.kron(own, np.ones((2, 4)))[None], (2, 3))
    assert zones.thresholds.tolist() == own.tolist()
    assert zones.threshold_map(3, 4).tolist() == [
        [1, 1, 2, 3],
        [1, 1, 2, 3],
        [4, 4, 5, 6],
    ]
    mask = zones.defect_mask(np.full((3, 4), 2.0))
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[True, True, False, False]] * 2 + [[False] * 4]


def test_a_sequence_is_read_one_map_at_a_time_and_twice():
    class Lazy:
        def __init__(self, maps):
            self.maps, self.asked = maps, 0

        def __len__(self):
            return len(self.maps)

        def __getitem__(self, number):
            self.asked += 1
            return self.maps[number]

    maps = drawn(2)
    lazy = Lazy(maps)
    found, expected = zone_thresholds(lazy, (2, 2)), zone_thresholds(iter(maps), (2, 2))
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    assert lazy.asked == 2 * len(maps)


MAPS = np.zeros((4, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: zone_thresholds([]), ValueError, "must be at least one map"),
        (
            lambda: zone_thresholds([MAPS[0], np.full((2, 2), np.inf)]),
            ValueError,
            "anomaly_maps of zone_thresholds must be .* image 1; got 4 of 4 pixels",
        ),
        (lambda: zone_thresholds([[["a"]]]), TypeError, "for image 0"),
        (
            lambda: zone_thresholds(MAPS, (5, 1)),
            ValueError,
            r"high and wide as there are zones; got \(4, 4\) for zones \(5, 1\)",
        ),
        (
            lambda: zone_thresholds(MAPS[:, :2], (3, 1)),
            ValueError,
            r"high and wide as there are zones; got \(2, 4\) for zones \(3, 1\)",
        ),
        (
            lambda: zone_thresholds(MAPS[:, :, :2], (1, 3)),
            ValueError,
            r"high and wide as there are zones; got \(4, 2\) for zones \(1, 3\)",
        ),
        (lambda: zone_thresholds(MAPS, 4), TypeError, "must be a pair, rows and col"),
        (lambda: zone_thresholds(MAPS, (0, 4)), ValueError, "zones of zone_thresh"),
        (
            lambda: zone_thresholds(MAPS, false_positive_rate=1.0),
            ValueError,
            r"false_positive_rate of zone_thresholds must be a number in \(0, 1\)",
        ),
        (
            lambda: zone_thresholds(MAPS, (1, 2)).threshold_map(3, 1),
            ValueError,
            "width of threshold_map must be an integer of at least 2",
        ),
        (
            lambda: zone_thresholds(MAPS, (1, 1)).defect_mask([1.0]),
            ValueError,
            r"anomaly_map of defect_mask must be finite \(height, width\) numbers; got",
        ),
    ],
)
def test_what_gives_no_threshold_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
