"""A sketch may only propose: whoever could be nearer clears the bar."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.neighbors import _sketch
from adlib.neighbors._distances import bar, half_norms
from adlib.neighbors._meet import admit, empty_members, products
from adlib.neighbors._points import as_points
from adlib.neighbors._search_cpu import ExactSearchCPU
from adlib.neighbors._sketch import HAS_BFLOAT16_UNITS, Sketcher
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
NO_GROUPS = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def promises(sketcher, pool, queries, bank):
    """Return all promises, (n_queries, n_bank), and the queries' norms."""
    members = empty_members(bank, NO_GROUPS, sketcher)
    admit(members, 0, *sketcher.sketch(bank, pool, 2), sketcher)
    words, norms = sketcher.sketch(queries, pool, 2)
    found = products(words, members.panels, len(bank))
    return found + members.starts.ravel()[: len(bank)], norms


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
def test_whoever_is_nearer_clears_the_bar(
    pool, bfloat16, seed, n_features, offset, scale, spectrum, fitted_to
):
    bank, queries = clouds(seed, n_features, offset, scale, spectrum)
    fitted = {"bank": bank, "one point": bank[:1], "other": queries * 3 + 1}[fitted_to]
    sketcher = Sketcher(fitted, bfloat16=bfloat16)
    promised, norms = promises(sketcher, pool, queries, bank)
    nearest = np.nextafter(exact_squares(queries, bank), np.inf)
    bars = np.vectorize(bar)(norms[:, None], nearest, sketcher.slack)
    assert (promised > bars).all()


@pytest.mark.parametrize("bfloat16", KINDS)
def test_a_sketch_is_short_where_few_directions_matter(pool, bfloat16):
    bank, queries = clouds(0, 152, 5.0, 1.0, 0.9)
    sketcher = Sketcher(bank, bfloat16=bfloat16)
    assert sketcher.sketch(bank, pool, 1).words.shape[1] == sketcher.n_words
    assert sketcher.n_words <= (16 if bfloat16 else 32)
    promised, norms = promises(sketcher, pool, queries, bank)
    nearest = exact_squares(queries, bank).min(axis=1)
    bars = np.vectorize(bar)(norms, nearest, sketcher.slack)
    assert (promised > bars[:, None]).sum(axis=1).mean() < 4


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
    swapped = right._replace(words=sketcher.as_members(right.words))
    members = empty_members(bank, NO_GROUPS, sketcher)
    admit(members, 0, *right, sketcher)
    found = products(left.words, members.panels, len(bank))
    expected = float_columns(left).astype(np.float64) @ float_columns(swapped).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    halves = half_norms(right.norms, sketcher.slack)
    np.testing.assert_array_equal(members.starts.ravel()[: len(bank)], -halves)


@pytest.mark.parametrize("bfloat16", KINDS)
def test_places_where_nobody_stands_promise_nothing(bfloat16):
    bank, _ = clouds(3, 16, 0.0, 1.0, 1.0)
    members = empty_members(bank, NO_GROUPS, Sketcher(bank, bfloat16=bfloat16))
    assert (members.starts == -np.inf).all()
    assert members.starts.size >= len(bank)


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
    engine = ExactSearchCPU(points, groups, Sketcher(bank, bfloat16=bfloat16))
    squared, indices = engine.kneighbors(
        as_points(queries, "X", "test"), n_neighbors, left_out
    )
    distances, expected = reference.kneighbors(
        bank, queries, n_neighbors, groups, left_out
    )
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-12)


def test_the_sample_need_not_hold_every_point(monkeypatch):
    monkeypatch.setattr(_sketch, "SAMPLE", 7)
    bank, queries = clouds(5, 40, 2.0, 1.0, 0.9)
    engine = ExactSearchCPU(as_points(bank, "X", "test"), np.full(70, -1))
    _, indices = engine.kneighbors(as_points(queries, "X", "test"), 2, None)
    _, expected = reference.kneighbors(bank, queries, 2)
    np.testing.assert_array_equal(indices, expected)
