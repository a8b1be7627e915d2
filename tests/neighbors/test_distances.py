"""The distance that decides is the float64 sum, with the same bits in both twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adlib.neighbors._cpu.distances import squared_distance, squared_norms
from adlib.neighbors._torch.distances import pair_distances


@pytest.mark.parametrize("n_features", [1, 7, 8, 9, 64, 1000])
def test_squared_distance_is_the_float64_sum_over_float32_rows(n_features):
    rng = np.random.default_rng(n_features)
    x, y = (1e3 + rng.normal(size=(2, n_features))).astype(np.float32)
    exact = math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))
    assert squared_distance(x, y) == pytest.approx(exact, rel=1e-14)
    assert squared_distance(x, y) == squared_distance(y, x)
    assert squared_distance(x, x) == 0.0


def test_torch_measures_pairs_in_parts_as_in_one(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 33, 20)).astype(np.float32)
    module = "adlib.neighbors._torch.distances.BYTES_AT_ONCE"
    rows = torch.arange(33)
    pairs = torch.from_numpy(left), rows, torch.from_numpy(right), rows.flip(0)
    whole = pair_distances(*pairs)
    monkeypatch.setattr(module, 8 * 20 * 4)
    exact = np.square(left.astype(np.float64) - right[::-1]).sum(axis=1)
    assert torch.equal(pair_distances(*pairs), whole)
    np.testing.assert_allclose(whole.numpy(), exact, rtol=1e-14)


def test_squared_norms_do_not_overflow_where_float32_would():
    rows = np.full((2, 3), 1e30, np.float32)
    expected = 3 * float(np.float32(1e30)) ** 2
    np.testing.assert_allclose(squared_norms(rows), [expected, expected], rtol=1e-15)
