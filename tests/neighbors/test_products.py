"""Products propose every pair that could matter, in float32 and in bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.neighbors import _products
from adlib.neighbors._distances import bar
from adlib.neighbors._points import as_points
from adlib.neighbors._products import (
    BFloat16Products,
    Float32Products,
    choose_products,
)
from adlib.neighbors._search_cpu import ExactSearchCPU
from tests import reference


def bfloat16_products(rows):
    return BFloat16Products(rows, rows.mean(axis=0))


KINDS = [Float32Products, bfloat16_products]


def points(rows):
    return as_points(rows, "X", "test")


def made(kind, bank):
    """Return products with a bank, of either kind."""
    products = kind(bank)
    products.take(0, len(bank))
    return products


def as_float(promises):
    """Read promises of either kind as float32."""
    if promises.dtype == np.uint16:
        return (promises.astype(np.uint32) << 16).view(np.float32)
    return promises


def clouds(seed, n_features, offset, scale):
    """Return a bank and queries, some of them nearly entries of the bank."""
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(60, n_features)) * scale + offset
    near = bank[:20] + rng.normal(size=(20, n_features)) * scale * 1e-3
    far = rng.normal(size=(20, n_features)) * scale + offset
    return bank.astype(np.float32), np.concatenate([near, far]).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    n_features=st.sampled_from([1, 2, 7, 8, 33, 152]),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
)
def test_whoever_is_nearer_clears_the_bar(kind, seed, n_features, offset, scale):
    bank, queries = clouds(seed, n_features, offset, scale)
    products = made(kind, bank)
    prepared = products.prepare(points(queries))
    promised = products.promise(prepared, slice(0, 60), None)
    exact = queries.astype(np.float64)[:, None] - bank.astype(np.float64)
    nearest = np.nextafter((exact**2).sum(axis=2), np.inf)
    bars = np.vectorize(bar)(prepared.norms[:, None], nearest, products.slack)
    promises = as_float(promised.promises)
    assert (promises > bars).all()
    np.testing.assert_array_equal(promised.best, promises.max(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bar_turns_most_away(kind):
    bank, queries = clouds(0, 152, 5.0, 1.0)
    products = made(kind, bank)
    prepared = products.prepare(points(queries))
    promises = as_float(products.promise(prepared, slice(0, 60), None).promises)
    exact = queries.astype(np.float64)[:, None] - bank.astype(np.float64)
    nearest = (exact**2).sum(axis=2).min(axis=1)
    bars = np.vectorize(bar)(prepared.norms, nearest, products.slack)
    assert (promises > bars[:, None]).sum(axis=1).mean() < 6


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_pairs_promise_nothing(kind):
    bank, queries = clouds(1, 16, 0.0, 1.0)
    products = made(kind, bank)
    hidden = np.random.default_rng(0).random((40, 60)) < 0.5
    promised = products.promise(products.prepare(points(queries)), slice(0, 60), hidden)
    np.testing.assert_array_equal(np.isneginf(as_float(promised.promises)), hidden)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_neighbors", [1, 9])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_both_kinds_find_the_true_neighbours(kind, n_neighbors, offset):
    rng = np.random.default_rng(2)
    bank = (rng.normal(size=(3000, 24)) + offset).astype(np.float32)
    queries = (rng.normal(size=(50, 24)) + offset).astype(np.float32)
    groups = rng.integers(0, 4, 3000)
    left_out = rng.integers(0, 4, 50)
    engine = ExactSearchCPU(points(bank), groups, made(kind, bank))
    squared, indices = engine.kneighbors(points(queries), n_neighbors, left_out)
    distances, expected = reference.kneighbors(
        bank, queries, n_neighbors, groups, left_out
    )
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-12)


@pytest.mark.parametrize(
    ("units", "kind"), [(True, BFloat16Products), (False, Float32Products)]
)
def test_bfloat16_is_used_only_where_the_processor_has_it(monkeypatch, units, kind):
    monkeypatch.setattr(_products, "_has_bfloat16_units", lambda: units)
    bank = np.zeros((_products.FEWEST_ROWS, 2), np.float32)
    few = bank[:5]
    assert isinstance(choose_products(bank), kind)
    assert isinstance(choose_products(few), Float32Products)
