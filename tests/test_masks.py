"""The rule for masks, against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from adlib._masks import count_values, marked_pixels, numbers_kinds


def naive(values):
    """Return what a mask marks, by sets and loops."""
    different = sorted({float(value) for value in values.ravel()})
    low, high = different[0], different[-1]
    if len(different) == 1:
        return values != 0
    whole = all(value.is_integer() for value in different)
    ends = len(different) == 4 and {low + 1, high - 1} <= set(different)
    few = len(different) <= 4 and not (ends and high > 63)
    numbered = len(different) == 2 or (whole and (few or high <= 63))
    above = low if numbered else (low + high) / 2
    return np.array([[value > above for value in row] for row in values])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32])
@pytest.mark.parametrize("seed", range(20))
def test_the_rule_equals_its_slow_twin(seed, dtype):
    rng = np.random.default_rng(seed)
    highest = rng.choice([1, 3, 63, 64, 100, 255])
    different = rng.integers(0, highest + 1, rng.integers(1, 8))
    if seed % 4 == 0:
        different = np.array([0, 1, 254, 255])[: 1 + seed // 4]
    values = rng.choice(different, (5, 6)).astype(dtype)
    if dtype == np.float32 and seed % 2:
        values /= 4
    assert np.array_equal(marked_pixels(values), naive(values))
    assert count_values(values) == len(set(values.ravel().tolist()))


def test_numbers_for_kinds_of_defects():
    assert numbers_kinds(np.arange(64, dtype=np.uint8))
    assert not numbers_kinds(np.arange(65, dtype=np.uint8))
    assert numbers_kinds(np.array([0, 90, 170, 255]))
    assert not numbers_kinds(np.array([0, 60, 90, 170, 255]))
    assert not numbers_kinds(np.array([0, 1, 254, 255]))
    assert not numbers_kinds(np.array([0, 0.5, 1]))
    assert numbers_kinds(np.array([0, 0.5]))


def test_lossy_values_are_no_numbers():
    values = np.array([[0, 100, 254]])
    assert marked_pixels(values).tolist() == [[False, True, True]]
    assert marked_pixels(values, lossy=True).tolist() == [[False, False, True]]
