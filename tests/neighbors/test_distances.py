"""A product may only propose: whoever could be nearer clears the bar."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adlib.neighbors._distances import (
    bar,
    half_norms,
    slack,
    squared_distance,
    squared_norms,
)
from adlib.neighbors._promises_torch import Promises, squared_distances

any_rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 6), st.integers(1, 8)),
    elements=st.floats(-(2.0**59), 2.0**59, width=32),
)


@st.composite
def close_rows(draw):
    """Rows that nearly coincide: the product loses what tells them apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_features = draw(st.sampled_from([1, 2, 9, 152, 1024, 3000]))
    spread = draw(st.sampled_from([0.0, 1e-7, 1e-5, 1e-3, 1.0]))
    scale = draw(st.sampled_from([1e-25, 1e-15, 1e-10, 1.0, 1e3, 1e15]))
    centre = rng.random(n_features) * draw(st.sampled_from([0.0, 1.0]))
    noise = spread * rng.normal(size=(6, n_features))
    return (scale * (centre + noise)).astype(np.float32)


def sequential_products(rows):
    """Return all products, summed one after another: the order that rounds worst."""
    pairs = rows[:, None, :] * rows[None, :, :]
    return np.cumsum(pairs, axis=2, dtype=np.float32)[:, :, -1]


def distances_among(rows):
    return np.array([[squared_distance(x, y) for y in rows] for x in rows])


def assert_bars_cleared(products, rows):
    """Assert that each pair clears the bar of the next number above its distance."""
    norms, n_features = squared_norms(rows), rows.shape[1]
    promises = products - half_norms(norms, slack(n_features))
    nearest = np.nextafter(distances_among(rows), np.inf)
    for i, norm in enumerate(norms):
        bars = [bar(norm, value, slack(n_features)) for value in nearest[i]]
        assert (promises[i] > np.array(bars)).all()


@settings(deadline=None)
@given(any_rows | close_rows())
def test_whoever_is_nearer_clears_the_bar(rows):
    assert_bars_cleared(rows @ rows.T, rows)


@settings(deadline=None, max_examples=50)
@given(any_rows | close_rows())
def test_whoever_is_nearer_clears_the_bar_in_the_worst_order_of_summation(rows):
    assert_bars_cleared(sequential_products(rows), rows)


def test_the_bar_is_not_cleared_by_everybody():
    rows = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    norms = squared_norms(rows)
    promises = rows @ rows.T - half_norms(norms, slack(16))
    bars = [bar(norm, 1.0, slack(16)) for norm in norms]
    truly_nearer = distances_among(rows) < 1.0
    assert np.array_equal(promises > np.array(bars)[:, None], truly_nearer)


def torch_promises(rows):
    """Return a row's promises, its ceilings, and the bars just above its distances."""
    points = torch.from_numpy(rows)
    promises = Promises(points)
    seekers = promises.seekers(points)
    nearest = torch.from_numpy(np.nextafter(distances_among(rows), np.inf))
    promised = promises.of(seekers, seekers)
    everybody = torch.arange(len(rows)).expand_as(promised)
    ceilings = promises.ceilings(seekers, seekers, everybody, promised)
    return promised, promises.bars(seekers.norms[:, None], nearest), ceilings


@settings(deadline=None)
@given(any_rows | close_rows())
def test_whoever_is_nearer_clears_the_bar_of_torch(rows):
    promised, bars, ceilings = torch_promises(rows)
    assert (promised > bars).all()
    assert (ceilings.numpy() >= distances_among(rows)).all()


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@settings(deadline=None)
@given(any_rows | close_rows())
def test_the_bounds_of_torch_hold_at_any_precision_of_products(precision, rows):
    with products_of(precision):
        promised, bars, ceilings = torch_promises(rows)
    assert (promised > bars).all()
    assert (ceilings.numpy() >= distances_among(rows)).all()


@contextmanager
def products_of(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@settings(deadline=None, max_examples=50)
@given(any_rows | close_rows())
def test_the_bounds_of_torch_hold_for_sums_that_are_cut_off(rows):
    points = torch.from_numpy(rows)
    promises = Promises(points)
    seekers = promises.seekers(points)
    columns = seekers.columns.double().numpy()
    members = np.concatenate([columns[:, :-2], columns[:, :-3:-1]], axis=1)
    nearest = torch.from_numpy(np.nextafter(distances_among(rows), np.inf))
    # The true sums, less all that the bound lets a unit cut off.
    cut = 4 * columns.shape[1] * 2.0**-24 * (abs(columns) @ abs(members).T)
    zeros = seekers._replace(columns=torch.zeros_like(seekers.columns))
    half_norms = -promises.of(zeros, zeros._replace(norms=seekers.norms)).numpy()
    promised = torch.from_numpy(columns @ members.T - cut - half_norms)
    assert (promised > promises.bars(seekers.norms[:, None], nearest)).all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_the_bar_of_torch_is_not_cleared_by_everybody(offset):
    noise = np.random.default_rng(0).normal(size=(50, 16))
    rows = (offset + noise).astype(np.float32)
    points = torch.from_numpy(rows)
    promises = Promises(points)
    seekers = promises.seekers(points)
    promised = promises.of(seekers, seekers).numpy()
    bars = promises.bars(seekers.norms, torch.full((50,), 20.0)).numpy()[:, None]
    nearer = distances_among(rows) < 20.0
    assert 1.0 * nearer.sum() <= (promised > bars).sum() <= 1.05 * nearer.sum()


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
    module = "adlib.neighbors._promises_torch.BYTES_AT_ONCE"
    pair = torch.from_numpy(left), torch.from_numpy(right)
    whole = squared_distances(*pair)
    monkeypatch.setattr(module, 8 * 20 * 4)
    exact = ((left.astype(np.float64) - right.astype(np.float64)) ** 2).sum(axis=1)
    assert torch.equal(squared_distances(*pair), whole)
    np.testing.assert_allclose(whole.numpy(), exact, rtol=1e-14)


def test_squared_norms_do_not_overflow_where_float32_would():
    rows = np.full((2, 3), 1e30, np.float32)
    expected = 3 * float(np.float32(1e30)) ** 2
    np.testing.assert_allclose(squared_norms(rows), [expected, expected], rtol=1e-15)
