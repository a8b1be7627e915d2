"""AUPIMO equals its definition, one false-positive rate at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.metrics import aupimo


def naive(masks, maps, low, high):
    """Return each anomalous image's area, by trying every threshold at every rate."""
    pairs = list(zip(masks, maps, strict=True))
    normal = [scores for mask, scores in pairs if not mask.any()]
    every = np.unique(np.concatenate([np.ravel(scores) for scores in maps]))
    every = np.append(-np.inf, every)
    rates = np.array([np.mean([np.mean(m > t) for m in normal]) for t in every])
    edges = np.unique(np.clip(np.append(rates, [low, high]), low, high))
    areas = []
    for mask, scores in pairs:
        if not mask.any():
            continue
        overlaps = np.array([np.mean(scores[mask] > t) for t in every])
        area = 0.0
        for left, right in pairwise(edges):
            middle = np.sqrt(left * right)  # inside, where no rounding can confuse
            area += overlaps[rates <= middle].max() * np.log(right / left)
        areas.append(area / np.log(high / low))
    return areas


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    levels=st.sampled_from([2, 5, 50, 10**6]),
    bounds=st.sampled_from([(0.01, 0.1), (0.003, 0.9), (0.2, 1.0), (1e-5, 1e-4)]),
)
def test_it_equals_the_definition(seed, levels, bounds):
    rng = np.random.default_rng(seed)
    masks, maps = [], []
    for number in range(6):
        size = rng.integers(3, 12, 2)
        mask = rng.random(size) < (0.2 if number % 2 else 0.0)
        scores = rng.integers(0, levels, size) + mask * rng.integers(0, 3, size)
        masks.append(mask)
        maps.append((scores / 7).astype(np.float32))
    masks[1][0, 0] = True
    found = aupimo(masks, maps, bounds)
    expected = naive(masks, maps, *bounds)
    np.testing.assert_allclose(found.per_image, expected, atol=1e-9)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.images.tolist() == [i for i in range(6) if masks[i].any()]


def test_by_hand():
    # 10 normal pixels, of which one scores 5 and the others 1.
    blank, quiet = np.zeros((1, 10)), np.ones((1, 10))
    quiet[0, 3] = 5.0
    # Half the defect is above 5, all of it above 1.
    mask, scores = np.array([[1, 1, 0]]), np.array([[6.0, 2.0, 0.0]])
    # Up to a rate of 0.1 the threshold is 5, from there on it is 1.
    found = aupimo([blank, mask], [quiet, scores], (0.01, 0.2))
    expected = (0.5 * np.log(10) + 1.0 * np.log(2)) / np.log(20)
    assert found.mean == pytest.approx(expected)


def test_the_usual_bounds_are_the_papers():
    rng = np.random.default_rng(0)
    masks, maps = np.zeros((2, 300, 300)), rng.random((2, 300, 300))
    masks[1, :20, :20] = 1
    maps[1] += masks[1] / 2
    assert 0 < aupimo(masks, maps).mean < 1
    expected = aupimo(masks, maps, (1e-5, 1e-4)).mean
    assert aupimo(masks, maps).mean == expected


def test_images_with_many_false_pixels_count_as_much_as_others():
    blank, mask = np.zeros((4, 4)), np.zeros((4, 4))
    mask[0, 0] = 1
    loud, scores = np.full((4, 4), 9.0), mask * 8.0
    masks, maps = [blank] * 9 + [mask], [blank] * 8 + [loud, scores]
    # One of nine normal images is wholly above the defect: a rate of 1 / 9.
    assert aupimo(masks, maps, (0.01, 0.1)).mean == 0.0
    assert aupimo(masks, maps, (0.12, 0.5)).mean == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("masks", "bounds", "error", "message"),
    [
        ([[[1, 0]]], (1e-5, 1e-4), ValueError, "got no normal one"),
        ([[[0, 0]]], (1e-5, 1e-4), ValueError, "got no anomalous one"),
        ([[[1, 0]]], (0.0, 1e-4), ValueError, "two different rates above 0"),
        ([[[1, 0]]], (0.1, 0.1), ValueError, "two different rates above 0"),
        ([[[1, 0]]], (0.1, 1.1), ValueError, r"two numbers in \[0, 1\]"),
        ([[[1, 0]]], 0.1, TypeError, "fpr_bounds of aupimo"),
    ],
)
def test_what_cannot_be_measured_is_refused(masks, bounds, error, message):
    with pytest.raises(error, match=message):
        aupimo(masks, [[[1.0, 0.0]]], bounds)
