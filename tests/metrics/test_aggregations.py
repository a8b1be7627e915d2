"""Scores of maps against obvious loops, and their comparison against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import (
    MAP_AGGREGATIONS,
    aggregate_maps,
    compare_aggregations,
    top_mean_scores,
)
from tests.metrics import naive_thresholds as naive


@pytest.mark.parametrize("top_ratio", [0.001, 0.01, 0.1, 0.35, 0.5, 1.0])
def test_top_mean_is_the_mean_of_the_highest(top_ratio):
    scores = np.random.default_rng(0).random((5, 49), dtype=np.float32)
    n_top = max(1, int(top_ratio * 49))
    wanted = [np.mean(sorted(map(float, row))[-n_top:]) for row in scores]
    found = top_mean_scores(scores, top_ratio)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_top_mean_does_not_depend_on_the_order_of_patches():
    rng = np.random.default_rng(1)
    scores = rng.lognormal(sigma=3, size=(1, 400)).astype(np.float32)
    orders = [rng.permutation(400) for _ in range(20)]
    shuffled = np.concatenate([scores[:, order] for order in orders])
    assert set(top_mean_scores(shuffled, 0.5)) == set(top_mean_scores(scores, 0.5))


def test_top_mean_leaves_its_input_alone():
    scores = np.array([[3.0, 1.0, 2.0]], np.float32)
    scores.setflags(write=False)
    np.testing.assert_allclose(top_mean_scores(scores, 0.7), [2.5])


def drawn(seed=0, n_images=30):
    """Draw labels and maps of several sizes; anomalous ones have a bright corner."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_images) % 3 == 0
    maps = [rng.normal(size=rng.integers(5, 15, 2)) for _ in labels]
    for is_anomalous, values in zip(labels, maps, strict=True):
        values[:2, :2] += 2.0 * is_anomalous
    return labels.astype(int), [values.astype(np.float32) for values in maps]


def by_hand(values, aggregation):
    rising = sorted(map(float, values.ravel()))
    if aggregation == "max":
        return rising[-1]
    if aggregation == "mean":
        return sum(rising) / len(rising)
    if aggregation == "percentile":
        place = 0.9 * (len(rising) - 1)
        low = int(place)
        high = min(low + 1, len(rising) - 1)
        return rising[low] + (place - low) * (rising[high] - rising[low])
    n_top = max(1, int(0.1 * len(rising)))
    return sum(rising[-n_top:]) / n_top


@pytest.mark.parametrize("aggregation", MAP_AGGREGATIONS)
def test_scores_are_what_a_hand_finds(aggregation):
    _, maps = drawn()
    found = aggregate_maps(maps, aggregation, percentile=90, top_ratio=0.1)
    assert found.dtype == np.float64
    wanted = [by_hand(values, aggregation) for values in maps]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_rows_are_scikit_learns_figures_of_the_scores():
    labels, maps = drawn()
    rows = compare_aggregations(maps, labels, percentile=95, top_ratio=0.05)
    assert [row.aggregation for row in rows] == list(MAP_AGGREGATIONS)
    for row in rows:
        scores = aggregate_maps(maps, row.aggregation, percentile=95, top_ratio=0.05)
        assert row.auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        precision = average_precision_score(labels, scores)
        assert row.average_precision == pytest.approx(precision, abs=1e-12)
        normal, anomalous = scores[labels == 0].tolist(), scores[labels == 1].tolist()
        cut = np.nextafter(naive.best_cut(normal, anomalous), -np.inf)
        best = float(naive.f1_above(normal, anomalous, cut))
        assert row.best_f1 == pytest.approx(best, abs=1e-12)
        at_row = float(naive.f1_above(normal, anomalous, row.threshold))
        assert at_row == pytest.approx(best, abs=1e-12)


def test_maps_are_read_once_and_one_at_a_time():
    labels, maps = drawn()
    assert compare_aggregations(iter(maps), labels) == compare_aggregations(
        maps, labels
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda labels, maps: compare_aggregations(maps[1:], labels),
            ValueError,
            r"of compare_aggregations must be as many as y_true \(30\); got 29",
        ),
        (
            lambda labels, maps: compare_aggregations(maps, 0 * labels),
            ValueError,
            "normal ones alone",
        ),
        (
            lambda labels, maps: aggregate_maps([]),
            ValueError,
            "heatmaps of aggregate_maps must be at least one map",
        ),
        (
            lambda labels, maps: aggregate_maps([maps[0], np.full((2, 2), np.nan)]),
            ValueError,
            "numbers for image 1; got 4 of 4 pixels NaN",
        ),
        (
            lambda labels, maps: aggregate_maps([np.full((2, 2), 1e300)]),
            ValueError,
            "4 of 4 pixels NaN or infinite",
        ),
        (lambda labels, maps: aggregate_maps([[1.0]]), ValueError, "for image 0"),
        (lambda labels, maps: aggregate_maps([[["a"]]]), TypeError, "for image 0"),
        (
            lambda labels, maps: aggregate_maps(maps, "median"),
            ValueError,
            "aggregation of aggregate_maps must be one of 'max'",
        ),
        (
            lambda labels, maps: aggregate_maps(maps, percentile=101),
            ValueError,
            r"percentile of aggregate_maps must be a number in \(0, 100\]",
        ),
        (
            lambda labels, maps: aggregate_maps(maps, top_ratio=0.0),
            ValueError,
            r"top_ratio of aggregate_maps must be a number in \(0, 1\]",
        ),
    ],
)
def test_what_has_no_scores_is_refused(call, error, message):
    labels, maps = drawn()
    with pytest.raises(error, match=message):
        call(labels, maps)
