"""Reweighted scores against equation 7, in words and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adlib.estimators._aggregation import reweighted_scores
from adlib.neighbors import MemoryBank


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
