"""Random directions keep squared distances on average."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from adlib.neighbors._coreset import random_projection

X = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)


def test_squared_distances_are_kept_on_average():
    before = pdist(X, "sqeuclidean")
    after = [
        pdist(random_projection(X, 10, random_state=seed), "sqeuclidean")
        for seed in range(200)
    ]
    # One projection is off by sqrt(2 / 10) = 45 %; the mean of 200 by 3.2 %.
    np.testing.assert_allclose(np.mean(after, axis=0) / before, 1.0, atol=0.16)
    assert np.mean(after) / before.mean() == pytest.approx(1.0, abs=0.02)


def test_it_is_linear_with_float32_rows():
    projected = random_projection(X, 4, random_state=1)
    assert projected.dtype == np.float32
    assert projected.shape == (40, 4)
    double = random_projection(2.0 * X, 4, random_state=1)
    np.testing.assert_allclose(double, 2.0 * projected, rtol=1e-5)


def test_the_seed_decides_the_directions():
    one, same = (random_projection(X, 4, random_state=1) for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, random_projection(X, 4, random_state=2))


def test_no_seed_draws_new_directions():
    one, other = (random_projection(X, 4) for _ in range(2))
    assert not np.allclose(one, other)


def test_the_directions_do_not_depend_on_the_points():
    some = random_projection(X[7:20], 4, random_state=1)
    every = random_projection(X, 4, random_state=1)
    np.testing.assert_allclose(some, every[7:20], rtol=1e-4, atol=1e-5)


def test_parts_give_what_the_whole_gives(monkeypatch):
    whole = random_projection(X, 4, random_state=1)
    monkeypatch.setattr("adlib.neighbors._coreset.ROWS_AT_ONCE", 7)
    parts = random_projection(X, 4, random_state=1)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_the_points_are_left_as_they_are():
    before = X.copy()
    random_projection(X, 4, random_state=1)
    assert np.array_equal(X, before)


@pytest.mark.parametrize("seed", [2**32, 2**40])
def test_a_large_seed_is_as_good_as_for_the_coreset(seed):
    assert random_projection(X, 2, random_state=seed).shape == (40, 2)
