"""No pair that is nearer than the threshold is filtered out, in either twin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adlib.neighbors._cpu import bounds
from adlib.neighbors._cpu.bounds import (
    Sketcher,
    half_norms,
    lower_bound,
    pruning_threshold,
)
from adlib.neighbors._cpu.database import empty_panels, fill
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.filter import products
from adlib.neighbors._cpu.llvm import HAS_BFLOAT16_UNITS
from adlib.neighbors._cpu.search import ExactSearch
from adlib.neighbors._points import as_points
from adlib.neighbors._torch.bounds import Sketcher as TorchSketcher
from tests import reference

KINDS = [
    pytest.param(False, id="float32"),
    pytest.param(
        True,
        id="bfloat16",
        marks=pytest.mark.skipif(
            not HAS_BFLOAT16_UNITS, reason="the processor has no bfloat16 units"
        ),
    ),
]


any_rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 6), st.integers(1, 8)),
    elements=st.floats(-(2.0**59), 2.0**59, width=32),
)


@st.composite
def close_rows(draw, widths=(1, 2, 9, 152, 1024, 3000)):
    """Rows that nearly coincide: the product loses what tells them apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_features = draw(st.sampled_from(widths))
    spread = draw(st.sampled_from([0.0, 1e-7, 1e-5, 1e-3, 1.0]))
    scale = draw(st.sampled_from([1e-25, 1e-15, 1e-10, 1.0, 1e3, 1e15]))
    centre = rng.random(n_features) * draw(st.sampled_from([0.0, 1.0]))
    noise = spread * rng.normal(size=(6, n_features))
    return (scale * (centre + noise)).astype(np.float32)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def similarities_of(sketcher, pool, queries, bank):
    """Return all similarities, (n_queries, n_bank), and the queries' norms."""
    panels = empty_panels(len(bank), sketcher)
    fill(panels, 0, sketcher.sketch(bank, pool, 2), sketcher)
    words, norms = sketcher.sketch(queries, pool, 2)
    found = products(words, panels.words, len(bank))
    return found + panels.biases.ravel()[: len(bank)], norms


def float_columns(sketches):
    """Read the numbers in the words of either kind."""
    if sketches.words.dtype == np.float32:
        return sketches.words
    halves = sketches.words.view(np.uint16).astype(np.uint32) << 16
    return halves.view(np.float32)


def clouds(seed, n_features, offset, scale, spectrum):
    """Return a bank and queries; some queries are nearly entries of the bank."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    widths = spectrum ** np.arange(n_features)
    bank = rng.normal(size=(70, n_features)) * widths @ turn * scale + offset
    near = bank[:20] + rng.normal(size=(20, n_features)) * scale * 1e-3
    far = rng.normal(size=(20, n_features)) * widths @ turn * scale + offset
    return bank.astype(np.float32), np.concatenate([near, far]).astype(np.float32)


def assert_bounds_hold(sketcher, similarities, norms, squared):
    """Assert that bounds are below squared distances, and thresholds let pairs pass."""
    error, nearest = sketcher.relative_error, np.nextafter(squared, np.inf)
    assert (np.vectorize(lower_bound)(norms, similarities, error) <= squared).all()
    thresholds = np.vectorize(pruning_threshold)(norms, nearest, error)
    assert (similarities > thresholds).all()


def exact_squares(queries, bank):
    exact = queries.astype(np.float64)[:, None] - bank.astype(np.float64)
    return (exact**2).sum(axis=2)


@pytest.mark.parametrize("bfloat16", KINDS)
@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**31),
    n_features=st.sampled_from([1, 2, 7, 8, 33, 152, 300]),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
    scale=st.sampled_from([1e-30, 1e-12, 1e-3, 1.0, 1e6, 1e14]),
    spectrum=st.sampled_from([1.0, 0.95, 0.7]),
    fitted_to=st.sampled_from(["bank", "one point", "other"]),
)
def test_pairs_nearer_than_the_threshold_pass_the_filter(
    pool, bfloat16, seed, n_features, offset, scale, spectrum, fitted_to
):
    bank, queries = clouds(seed, n_features, offset, scale, spectrum)
    fitted = {"bank": bank, "one point": bank[:1], "other": queries * 3 + 1}[fitted_to]
    sketcher = Sketcher(fitted, bfloat16=bfloat16)
    similarities, norms = similarities_of(sketcher, pool, queries, bank)
    assert_bounds_hold(
        sketcher, similarities, norms[:, None], exact_squares(queries, bank)
    )


def distances_among(rows):
    return np.array([[squared_distance(x, y) for y in rows] for x in rows])


@pytest.mark.parametrize("bfloat16", KINDS)
@settings(deadline=None)
@given(rows=any_rows | close_rows(widths=(1, 2, 9, 152, 300)))
def test_pairs_of_any_rows_pass_at_their_distance(pool, bfloat16, rows):
    sketcher = Sketcher(rows, bfloat16=bfloat16)
    similarities, norms = similarities_of(sketcher, pool, rows, rows)
    assert_bounds_hold(sketcher, similarities, norms[:, None], distances_among(rows))


@pytest.mark.parametrize("bfloat16", KINDS)
def test_a_sketch_is_short_where_few_components_matter(pool, bfloat16):
    bank, queries = clouds(0, 152, 5.0, 1.0, 0.9)
    sketcher = Sketcher(bank, bfloat16=bfloat16)
    assert sketcher.sketch(bank, pool, 1).words.shape[1] == sketcher.n_words
    assert sketcher.n_words <= (16 if bfloat16 else 32)
    similarities, norms = similarities_of(sketcher, pool, queries, bank)
    nearest = exact_squares(queries, bank).min(axis=1)
    error = sketcher.relative_error
    thresholds = np.vectorize(pruning_threshold)(norms, nearest, error)
    assert (similarities > thresholds[:, None]).sum(axis=1).mean() < 4


@pytest.mark.parametrize("bfloat16", KINDS)
def test_what_a_sketch_leaves_out_is_what_its_bounds_say(pool, bfloat16):
    bank, _ = clouds(1, 80, 3.0, 1.0, 0.9)
    sketcher = Sketcher(bank, bfloat16=bfloat16)
    sketches = sketcher.sketch(bank, pool, 2)
    columns = float_columns(sketches).astype(np.float64)
    outside, _, length = columns[:, -3:].T
    whole = np.sqrt(sketches.norms)
    kept = np.linalg.norm(columns[:, :-3], axis=1)
    centred = bank.astype(np.float64) - bank.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(whole, np.linalg.norm(centred, axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.hypot(kept, outside), whole, rtol=1e-2)
    assert (length >= kept).all()
    assert (length <= 1.02 * kept).all()


@pytest.mark.parametrize("bfloat16", KINDS)
def test_the_columns_of_sketches_multiply(pool, bfloat16):
    bank, queries = clouds(2, 152, 0.0, 1.0, 0.95)
    sketcher = Sketcher(bank, bfloat16=bfloat16)
    left, right = (sketcher.sketch(rows, pool, 2) for rows in (queries, bank))
    swapped = right._replace(words=sketcher.as_database(right.words))
    panels = empty_panels(len(bank), sketcher)
    fill(panels, 0, right, sketcher)
    found = products(left.words, panels.words, len(bank))
    expected = float_columns(left).astype(np.float64) @ float_columns(swapped).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    halves = half_norms(right.norms, sketcher.relative_error)
    np.testing.assert_array_equal(panels.biases.ravel()[: len(bank)], -halves)


@pytest.mark.parametrize("bfloat16", KINDS)
def test_empty_places_never_pass(bfloat16):
    bank, _ = clouds(3, 16, 0.0, 1.0, 1.0)
    panels = empty_panels(len(bank), Sketcher(bank, bfloat16=bfloat16))
    assert (panels.biases == -np.inf).all()
    assert panels.biases.size >= len(bank)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_the_number_of_threads_does_not_matter(pool, n_threads):
    bank, _ = clouds(4, 152, 1.0, 1.0, 0.9)
    sketcher = Sketcher(bank)
    once, again = sketcher.sketch(bank, pool, 1), sketcher.sketch(bank, pool, n_threads)
    np.testing.assert_array_equal(once.words, again.words)
    np.testing.assert_array_equal(once.norms, again.norms)


@pytest.mark.parametrize("bfloat16", KINDS)
@pytest.mark.parametrize("n_neighbors", [1, 9])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("n_features", [24, 200])
def test_both_kinds_find_the_true_neighbours(bfloat16, n_neighbors, offset, n_features):
    rng = np.random.default_rng(2)
    widths = 0.97 ** np.arange(n_features)
    bank = (rng.normal(size=(3000, n_features)) * widths + offset).astype(np.float32)
    queries = (rng.normal(size=(50, n_features)) * widths + offset).astype(np.float32)
    groups = rng.integers(0, 4, 3000)
    left_out = rng.integers(0, 4, 50)
    points = as_points(bank, "X", "test")
    engine = ExactSearch(points, groups, Sketcher(bank, bfloat16=bfloat16))
    squared, indices = engine.kneighbors(
        as_points(queries, "X", "test"), n_neighbors, left_out
    )
    distances, expected = reference.kneighbors(
        bank, queries, n_neighbors, groups, left_out
    )
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-12)


def test_the_sample_need_not_hold_every_point(monkeypatch):
    monkeypatch.setattr(bounds, "SAMPLE", 7)
    bank, queries = clouds(5, 40, 2.0, 1.0, 0.9)
    engine = ExactSearch(as_points(bank, "X", "test"), np.full(70, -1))
    _, indices = engine.kneighbors(as_points(queries, "X", "test"), 2, None)
    _, expected = reference.kneighbors(bank, queries, 2)
    np.testing.assert_array_equal(indices, expected)


def assert_bounds_of_torch_hold(rows):
    points = torch.from_numpy(rows)
    sketcher = TorchSketcher(points)
    sketches = sketcher.sketch(points)
    squared = distances_among(rows)
    nearest = torch.from_numpy(np.nextafter(squared, np.inf))
    database = sketcher.as_database(sketches)
    similarities = sketcher.similarities(sketches, database)
    thresholds = sketcher.pruning_thresholds(sketches.norms[:, None], nearest)
    assert (similarities > thresholds).all()
    indices = torch.arange(len(rows)).expand_as(similarities)
    above = sketcher.upper_bounds(sketches, database, indices, similarities)
    assert (above.numpy() >= squared).all()


@settings(deadline=None)
@given(any_rows | close_rows())
def test_the_bounds_of_torch_hold_for_any_rows(rows):
    assert_bounds_of_torch_hold(rows)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@settings(deadline=None)
@given(any_rows | close_rows())
def test_the_bounds_of_torch_hold_at_any_precision_of_products(precision, rows):
    with products_of(precision):
        assert_bounds_of_torch_hold(rows)


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
    sketcher = TorchSketcher(points)
    sketches = sketcher.sketch(points)
    columns = sketches.columns.double().numpy()
    database = np.concatenate([columns[:, :-2], columns[:, :-3:-1]], axis=1)
    halves = sketcher.as_database(sketches).halves.numpy()
    nearest = torch.from_numpy(np.nextafter(distances_among(rows), np.inf))
    # The true sums, less all that the bound lets a unit cut off.
    cut = 4 * columns.shape[1] * 2.0**-24 * (abs(columns) @ abs(database).T)
    similarities = torch.from_numpy(columns @ database.T - cut - halves)
    thresholds = sketcher.pruning_thresholds(sketches.norms[:, None], nearest)
    assert (similarities > thresholds).all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_few_pairs_pass_the_filter_of_torch_that_are_not_nearer(offset):
    noise = np.random.default_rng(0).normal(size=(50, 16))
    rows = (offset + noise).astype(np.float32)
    points = torch.from_numpy(rows)
    sketcher = TorchSketcher(points)
    sketches = sketcher.sketch(points)
    database = sketcher.as_database(sketches)
    similarities = sketcher.similarities(sketches, database).numpy()
    nearest = torch.full((50,), 20.0)
    thresholds = sketcher.pruning_thresholds(sketches.norms, nearest).numpy()
    nearer = distances_among(rows) < 20.0
    assert (
        1.0 * nearer.sum()
        <= (similarities > thresholds[:, None]).sum()
        <= 1.05 * nearer.sum()
    )
