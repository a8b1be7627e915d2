"""Pixel and region metrics equal scikit-learn's, slow twins, and what a hand finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import (
    PixelCurves,
    compute_pixel_auroc,
    compute_pro,
)
from tests.metrics import naive


def flat(masks, maps):
    truth = np.concatenate([np.ravel(mask) != 0 for mask in masks])
    return truth, np.concatenate([np.ravel(values) for values in maps])


def drawn(seed, n_images=4, levels=9, share=0.2):
    """Draw masks and maps of several sizes, with ties, touching regions, and blanks."""
    rng = np.random.default_rng(seed)
    masks, maps = [], []
    for number in range(n_images):
        size = rng.integers(3, 12, 2)
        mask = rng.random(size) < (share if number else 0.0)
        masks.append(mask)
        scores = rng.integers(0, levels, size) + mask * rng.integers(0, 3, size)
        maps.append((scores / 7).astype(np.float32))
    masks[-1][0, 0], masks[-1][-1, -1] = True, False
    return masks, maps


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 2, 5, 50, 10**6]))
def test_all_equal_their_references(seed, levels):
    masks, maps = drawn(seed, levels=levels)
    truth, scores = flat(masks, maps)
    curves = PixelCurves.of(masks, maps)
    assert curves.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    expected = average_precision_score(truth, scores)
    assert curves.average_precision == pytest.approx(expected, abs=1e-12)
    assert curves.best_f1.f1 == pytest.approx(naive.best_f1(masks, maps), abs=1e-12)
    for limit in (0.05, 0.3, 1.0):
        expected = naive.aupro(masks, maps, limit)
        assert curves.aupro(limit) == pytest.approx(expected, abs=1e-9)
        assert 0 <= curves.aupro(limit) <= 1


def test_large_maps_with_close_scores_equal_their_references():
    rng = np.random.default_rng(0)
    maps = rng.normal(1e4, 1e-2, (6, 80, 90)).astype(np.float32)  # a few float32 apart
    masks = rng.random(maps.shape) < 0.03
    maps[masks] += np.float32(0.01)
    # Two scores far from all others must not hide how these differ.
    maps[0, 0, 0], maps[1, 0, 0], masks[:2, 0, 0] = -1e30, 1e30, True
    truth, scores = flat(masks, maps)
    curves = PixelCurves.of(masks, maps)
    assert curves.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    expected = average_precision_score(truth, scores)
    assert curves.average_precision == pytest.approx(expected, abs=1e-12)


def test_scores_may_be_as_far_apart_as_float32_reaches():
    rng = np.random.default_rng(0)
    maps = (rng.uniform(-3.3e38, 3.3e38, (2, 10, 10))).astype(np.float32)
    masks = rng.random(maps.shape) < 0.3
    truth, scores = flat(masks, maps.astype(np.float64))
    expected = roc_auc_score(truth, scores)
    assert compute_pixel_auroc(masks, maps) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("marked", [1.0, 3, 255, 65535])
def test_a_mask_marks_with_every_value_but_0(marked):
    masks, maps = drawn(3)
    others = [np.where(mask, marked, 0) for mask in masks]
    found, expected = PixelCurves.of(others, maps), PixelCurves.of(masks, maps)
    assert found.auroc == expected.auroc
    assert found.aupro() == expected.aupro()


@pytest.mark.parametrize("marked", [-1, 0.5, np.nan, np.inf])
def test_values_that_may_mean_anything_are_refused(marked):
    masks, maps = drawn(3)
    others = [np.where(mask, marked, 0) for mask in masks]
    with pytest.raises(ValueError, match="or whole numbers, 0 where normal"):
        PixelCurves.of(others, maps)


def test_the_overlap_of_two_regions_by_hand():
    # Two regions of 2 and 1 pixels, four normal pixels.
    masks = [np.array([[1, 1, 0, 1, 0, 0, 0]])]
    maps = [np.array([[9, 5, 7, 6, 4, 3, 2]], dtype=np.float32)]
    # Thresholds 9, 7, 6, 5, 4: overlaps 1/4, 1/4, 3/4, 1, 1 at rates 0, 1/4, 1/4,
    # 1/4, 2/4.
    curve = PixelCurves.of(masks, maps).pro_curve
    points = set(zip(*(values.round(6).tolist() for values in curve), strict=True))
    expected = {(0, 0), (0, 0.25), (0.25, 0.25), (0.25, 0.75), (0.25, 1), (1, 1)}
    assert points == expected
    assert compute_pro(masks, maps, 0.25) == pytest.approx(0.25)
    assert compute_pro(masks, maps, 0.5) == pytest.approx((0.25 * 0.25 + 0.25) / 0.5)
    assert compute_pro(masks, maps, 1.0) == pytest.approx(0.25 * 0.25 + 0.75)


def test_a_tie_of_normal_and_anomalous_pixels_is_a_diagonal_cut_at_the_limit():
    masks = [np.array([[1, 0, 0, 0, 0]])]
    maps = [np.array([[2, 2, 2, 1, 0]], dtype=np.float32)]
    # One step to (0.5, 1); at the limit 0.25 the overlap is half of it.
    assert compute_pro(masks, maps, 0.25) == pytest.approx(0.25)


def test_pixels_that_touch_at_a_corner_are_one_region():
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    scores = np.array([[3, 0, 0], [0, 2, 0], [0, 0, 1]], dtype=np.float32)
    assert PixelCurves.of([mask], [scores]).n_regions == 1
    assert naive.n_regions(mask) == len(naive.flood(mask)) == 1


def test_normal_images_count_for_the_false_positives():
    mask, scores = np.array([[1, 0]]), np.array([[2, 0]], dtype=np.float32)
    blank, loud = np.zeros((1, 2)), np.array([[5, 5]], dtype=np.float32)
    assert compute_pro([mask], [scores], 0.3) == pytest.approx(1.0)
    assert compute_pro([mask, blank], [scores, loud], 0.3) == 0.0


def test_perfect_maps_reach_one_and_inverted_ones_zero():
    masks, _ = drawn(1)
    perfect = [mask.astype(np.float32) for mask in masks]
    curves = PixelCurves.of(masks, perfect)
    assert (curves.auroc, curves.average_precision, curves.best_f1.f1) == (1, 1, 1)
    assert curves.best_f1.threshold == np.nextafter(np.float32(1), np.float32(0))
    assert curves.aupro(0.3) == pytest.approx(1.0)
    inverted = PixelCurves.of(masks, [1 - scores for scores in perfect])
    assert inverted.auroc == 0
    assert inverted.aupro(0.3) == 0


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_order_of_images_and_rising_transforms_change_nothing(seed):
    masks, maps = drawn(seed)
    curves = PixelCurves.of(masks, maps)
    turned = PixelCurves.of(masks[::-1], [np.exp2(scores) for scores in maps[::-1]])
    assert turned.auroc == pytest.approx(curves.auroc, abs=1e-12)
    assert turned.aupro(0.3) == pytest.approx(curves.aupro(0.3), abs=1e-12)


@pytest.mark.parametrize("n_threads", ["1", "2", "7"])
def test_threads_change_nothing(monkeypatch, n_threads):
    masks, maps = drawn(3, n_images=9)
    before = PixelCurves.of(masks, maps)
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    after = PixelCurves.of(masks, maps)
    np.testing.assert_array_equal(after.n_normal, before.n_normal)
    assert after.aupro(0.3) == before.aupro(0.3)


def test_arrays_lists_and_streams_give_the_same():
    rng = np.random.default_rng(2)
    masks = rng.random((3, 8, 8)) < 0.3
    maps = rng.random((3, 8, 8), dtype=np.float32)
    expected = compute_pixel_auroc(masks, maps)
    assert compute_pixel_auroc(list(masks), list(maps)) == expected
    assert compute_pixel_auroc(iter(masks), iter(maps)) == expected


def test_a_sequence_is_read_one_image_at_a_time():
    class Lazy:
        def __init__(self, images):
            self.images, self.asked = images, 0

        def __len__(self):
            return len(self.images)

        def __getitem__(self, number):
            self.asked += 1
            return self.images[number]

    masks, maps = drawn(5)
    lazy = Lazy(maps)
    assert compute_pixel_auroc(masks, lazy) == compute_pixel_auroc(masks, maps)
    assert lazy.asked == 2 * len(maps)


@pytest.mark.parametrize(
    ("masks", "maps", "error", "message"),
    [
        (
            [[[1, 0]]],
            [[[1.0, 0.0]], [[1.0, 0.0]]],
            ValueError,
            r"as many as masks_true",
        ),
        (
            [[[1, 0]]],
            [[[1.0, 0.0, 2.0]]],
            ValueError,
            r"as large as the mask of image 0, \(1, 2\); got \(1, 3\)",
        ),
        ([[[1, 0]]], [[[np.nan, 0.0]]], ValueError, "1 of 2 pixels NaN or infinite"),
        ([[[0, 0]]], [[[1.0, 0.0]]], ValueError, "got no anomalous pixel"),
        ([[[1, 1]]], [[[1.0, 0.0]]], ValueError, "got no normal pixel"),
        ([[[1, 0]]], [[["a", "b"]]], TypeError, "numbers for image 0"),
        ([], [], ValueError, "got no anomalous pixel"),
    ],
)
def test_what_cannot_be_measured_is_refused(masks, maps, error, message):
    with pytest.raises(error, match=message):
        compute_pixel_auroc(masks, maps)


@pytest.mark.parametrize("limit", [0.0, 1.5, -0.3])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(ValueError, match="fpr_limit of aupro must be a number in"):
        compute_pro([[[1, 0]]], [[[1.0, 0.0]]], limit)
