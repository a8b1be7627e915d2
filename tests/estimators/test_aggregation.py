"""Image scores against equation 7, obvious loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.estimators import aggregate_maps
from adlib.estimators._aggregation import (
    compare_aggregations,
    reweighted_scores,
    top_mean_scores,
)
from adlib.neighbors import MemoryBank
from tests.thresholds import naive

AGGREGATIONS = ("max", "mean", "percentile", "top_mean")


def equation_7(patches, bank, b):
    """Score one image as the paper words it, one step at a time, in float64."""
    pairs = [
        (math.dist(patch, entry), -i, j)
        for i, patch in enumerate(patches)
        for j, entry in enumerate(bank)
    ]
    nearest = {}
    for distance, i, j in pairs:
        nearest[-i] = min(nearest.get(-i, (math.inf, 0)), (distance, j))
    worst = max(nearest, key=lambda i: (nearest[i][0], -i))
    distance, star = nearest[worst]
    around = sorted(range(len(bank)), key=lambda j: math.dist(bank[star], bank[j]))[:b]
    total = sum(math.exp(math.dist(patches[worst], bank[j])) for j in around)
    return (1 - math.exp(distance) / total) * distance


def reweighted(embeddings, bank, b):
    n_images, n_patches, n_features = embeddings.shape
    found = bank.kneighbors(embeddings.reshape(-1, n_features))
    return reweighted_scores(
        found.distances.reshape(n_images, n_patches),
        found.indices.reshape(n_images, n_patches),
        embeddings,
        bank,
        b,
    )


def test_equation_7_by_hand_with_b_larger_than_the_bank():
    bank = MemoryBank(np.array([[0.0], [1.0], [3.0], [10.0]]))
    embeddings = np.array([[[0.0], [5.0]]], np.float32)
    # The worst patch is 5: m* = 3 at distance 2; the others at 5, 4 and 5.
    weight = 1 - math.exp(2) / (math.exp(2) + math.exp(5) + math.exp(4) + math.exp(5))
    np.testing.assert_allclose(reweighted(embeddings, bank, 9), [2 * weight], rtol=1e-6)


def test_equation_7_counts_only_the_b_entries_around_the_nearest_one():
    bank = MemoryBank(np.array([[0.0], [1.0], [3.0], [10.0]]))
    embeddings = np.array([[[5.0], [0.0]]], np.float32)
    weight = 1 - math.exp(2) / (math.exp(2) + math.exp(4))  # 3, and 1 nearest to it
    np.testing.assert_allclose(reweighted(embeddings, bank, 2), [2 * weight], rtol=1e-6)


@pytest.mark.parametrize("b", [2, 3, 9, 30])
def test_equation_7_agrees_with_the_loop(b):
    rng = np.random.default_rng(b)
    entries = rng.normal(size=(20, 3)).astype(np.float32)
    embeddings = rng.normal(size=(4, 6, 3)).astype(np.float32) * 2
    wanted = [equation_7(image.tolist(), entries.tolist(), b) for image in embeddings]
    found = reweighted(embeddings, MemoryBank(entries), b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_equation_7_stays_finite_where_exp_would_overflow():
    bank = MemoryBank(np.array([[0.0], [1000.0]]))
    embeddings = np.array([[[-5000.0]]], np.float32)
    np.testing.assert_allclose(reweighted(embeddings, bank, 9), [5000.0])


def test_equation_7_is_never_negative():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 4, 7)).astype(np.float32) * 30
    for n_bank in (2, 3, 5):
        bank = MemoryBank(rng.normal(size=(n_bank, 7)))
        assert reweighted(embeddings, bank, 9).min() >= 0


def test_equation_7_needs_two_entries():
    bank = MemoryBank(np.zeros((1, 7)))
    with pytest.raises(ValueError, match="needs at least 2 bank entries; got 1"):
        reweighted(np.ones((1, 4, 7), np.float32), bank, 9)


def test_a_dense_neighbourhood_lowers_the_score():
    alone = MemoryBank(np.array([[0.0, 0.0], [50.0, 0.0], [60.0, 0.0]]))
    crowded = MemoryBank(np.array([[0.0, 0.0], [-0.1, 0.0], [0.0, 0.1]]))
    embeddings = np.array([[[2.0, 0.0]]], np.float32)
    assert reweighted(embeddings, crowded, 3) < reweighted(embeddings, alone, 3)


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


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_scores_are_what_a_hand_finds(aggregation):
    _, maps = drawn()
    found = aggregate_maps(maps, aggregation, percentile=90, top_ratio=0.1)
    assert found.dtype == np.float64
    wanted = [by_hand(values, aggregation) for values in maps]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_rows_are_scikit_learns_figures_of_the_scores():
    labels, maps = drawn()
    rows = compare_aggregations(maps, labels, percentile=95, top_ratio=0.05)
    assert [row.aggregation for row in rows] == list(AGGREGATIONS)
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
            r"scores of compute_auroc must be as long as y_true \(30\); got 29",
        ),
        (
            lambda labels, maps: compare_aggregations(maps, 0 * labels),
            ValueError,
            "normal ones alone",
        ),
        (
            lambda labels, maps: aggregate_maps([]),
            ValueError,
            "anomaly_maps of aggregate_maps must be at least one map",
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
