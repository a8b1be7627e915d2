"""Every engine finds what measuring every pair finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from adlib._threads import at_most
from adlib.neighbors._bank import build_search
from adlib.neighbors._cpu import search as on_cpu
from adlib.neighbors._cpu.few import FEW_ROWS
from adlib.neighbors._faiss import FaissSearch
from adlib.neighbors._points import as_points
from adlib.neighbors._torch import search as on_torch
from tests import reference


def without_few(points, groups):
    """The CPU's engine, which takes few rows as it takes many."""
    engine = on_cpu.ExactSearch(points, groups)
    engine._few = None
    return engine


EXACT = {
    "cpu": on_cpu.ExactSearch,
    "cpu, as of many rows": without_few,
    "torch": lambda points, groups: on_torch.ExactSearch(points, groups, "cpu"),
}
ENGINES = EXACT | {
    "faiss": lambda points, groups: FaissSearch("faiss-flat", points, groups)
}


def search(engine, bank, queries, n_neighbors, groups=None, left_out=None):
    groups = np.full(len(bank), -1) if groups is None else np.asarray(groups)
    points, asked = as_points(bank, "X", "test"), as_points(queries, "X", "test")
    skipped = None if left_out is None else np.asarray(left_out)
    return ENGINES[engine](points, groups).kneighbors(asked, n_neighbors, skipped)


def assert_same_as_slow_twin(engine, bank, queries, n_neighbors, **leaving):
    squared, indices = search(engine, bank, queries, n_neighbors, **leaving)
    distances, expected = reference.kneighbors(bank, queries, n_neighbors, **leaving)
    assert np.array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-12)


def shrink(monkeypatch, queries, bank):
    monkeypatch.setattr(on_cpu, "ROWS_AT_ONCE", queries)
    monkeypatch.setattr(on_torch, "MOST_QUERIES", queries)
    monkeypatch.setattr(on_torch, "SIMILARITIES_AT_ONCE", queries * bank)


@pytest.fixture(params=[(2048, 2048), (7, 13), (1, 1)], ids=["whole", "tiles", "ones"])
def _tiles(request, monkeypatch):
    shrink(monkeypatch, *request.param)


def make(kind):
    """Return a bank of 120 rows and 40 queries."""
    rng = np.random.default_rng(0)
    noise, asked = rng.normal(size=(120, 33)), rng.normal(size=(40, 33))
    bank, queries = {
        "gaussian": (noise, asked),
        "one feature": (noise[:, :1], asked[:, :1]),
        "ties": (rng.integers(-1, 2, (120, 3)), rng.integers(-1, 2, (40, 3))),
        "duplicates": (np.tile(noise[:20], (6, 1)), asked),
        "queries of the bank": (noise, noise[30:70]),
        "all equal": (np.full((120, 4), 0.3), np.full((40, 4), 0.3)),
        "huge offset": (1e3 + 1e-3 * noise, 1e3 + 1e-3 * asked),
        "huge offset of the bank": (1e3 + 1e-3 * noise, 1e-3 * asked),
        "tiny": (1e-20 * noise, 1e-20 * asked),
        "large": (1e15 * noise, 1e15 * asked),
    }[kind]
    return bank.astype(np.float32), queries.astype(np.float32)


KINDS = [
    "gaussian",
    "one feature",
    "ties",
    "duplicates",
    "queries of the bank",
    "all equal",
    "huge offset",
    "huge offset of the bank",
    "tiny",
    "large",
]


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("n_neighbors", [1, 3, 9, 120])
@pytest.mark.parametrize("kind", KINDS)
def test_exact_engines_find_what_the_slow_twin_finds(kind, n_neighbors, engine):
    assert_same_as_slow_twin(engine, *make(kind), n_neighbors)


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("n_neighbors", [1, 3, 9, 90])
@pytest.mark.parametrize("kind", ["gaussian", "ties", "duplicates", "huge offset"])
def test_a_group_that_is_left_out_does_not_count(kind, n_neighbors, engine):
    groups, left_out = np.arange(120) % 4, np.arange(40) % 6 - 1  # -1 and 4: no group
    leaving = {"groups": groups, "left_out": left_out}
    assert_same_as_slow_twin(engine, *make(kind), n_neighbors, **leaving)
    _, indices = search(engine, *make(kind), n_neighbors, **leaving)
    assert not (groups[indices] == left_out[:, None]).any()


@pytest.mark.parametrize("engine", EXACT)
@settings(deadline=None, max_examples=60)
@given(
    n_bank=st.integers(1, 50),
    n_queries=st.integers(1, 20),
    n_features=st.integers(1, 20),
    seed=st.integers(0, 2**32),
    exponent=st.integers(-120, 45),
    levels=st.sampled_from([0, 1, 3]),
    tile=st.sampled_from([1, 4, 100]),
    data=st.data(),
)
def test_any_points_give_what_the_slow_twin_gives(
    engine, n_bank, n_queries, n_features, seed, exponent, levels, tile, data
):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_bank + n_queries, n_features))
    if levels:  # integers times a power of two: ties are exact in float64
        X = rng.integers(-levels, levels + 1, X.shape).astype(np.float64)
    bank, queries = np.split((X * 2.0**exponent).astype(np.float32), [n_bank])
    groups = rng.integers(0, 3, n_bank)
    left_out = rng.integers(-1, 3, n_queries)
    most = max(int((groups == group).sum()) for group in range(3))
    leaving = {"groups": groups, "left_out": left_out}
    if most == n_bank or data.draw(st.booleans(), "leave no group out"):
        most, leaving = 0, {}
    n_neighbors = data.draw(st.integers(1, n_bank - most), "n_neighbors")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch, tile, tile)
        assert_same_as_slow_twin(engine, bank, queries, n_neighbors, **leaving)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_neighbors", [1, 3, 9, 120])
def test_engines_agree_with_scikit_learn(engine, n_neighbors):
    bank, queries = make("gaussian")
    squared, indices = search(engine, bank, queries, n_neighbors)
    oracle = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(bank)
    distances, expected = oracle.kneighbors(queries)
    assert np.array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-5)


def test_faiss_leaves_groups_out():
    bank, queries = make("gaussian")
    groups, left_out = np.arange(120) % 4, np.arange(40) % 6 - 1
    squared, indices = search("faiss", bank, queries, 5, groups, left_out)
    distances, expected = reference.kneighbors(bank, queries, 5, groups, left_out)
    assert np.array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), distances, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_results_are_float64_and_int64(engine):
    squared, indices = search(engine, *make("gaussian"), 2)
    assert (squared.dtype, indices.dtype) == (np.float64, np.int64)
    assert squared.shape == indices.shape == (40, 2)


@pytest.mark.parametrize("engine", EXACT)
def test_ties_go_to_the_lowest_index(engine):
    bank = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    squared, indices = search(engine, bank, [[0.0, 0.0]], 3)
    assert indices.tolist() == [[0, 1, 2]]
    assert squared.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("kind", ["gaussian", "huge offset", "large"])
def test_a_row_of_the_bank_lies_at_distance_zero_from_itself(kind, engine):
    bank, _ = make(kind)
    squared, indices = search(engine, bank, bank, 1)
    assert (squared == 0.0).all()
    assert np.array_equal(bank[indices[:, 0]], bank)


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("kind", ["gaussian", "huge offset", "ties"])
def test_results_do_not_depend_on_the_batch(kind, engine):
    bank, queries = make(kind)
    squared, indices = search(engine, bank, queries, 3)
    for part in (slice(0, 1), slice(1, 8), slice(8, 40)):
        some = search(engine, bank, queries[part], 3)
        assert np.array_equal(some[0], squared[part])
        assert np.array_equal(some[1], indices[part])


@pytest.mark.parametrize("n_threads", ["1", "3", "50"])
def test_results_do_not_depend_on_the_number_of_threads(monkeypatch, n_threads):
    bank, queries = make("huge offset")
    monkeypatch.setattr(on_cpu, "FEWEST_PAIRS", 0)
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    assert_same_as_slow_twin("cpu", bank, queries, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_points_are_left_as_they_are(engine):
    bank, queries = make("gaussian")
    before = bank.copy(), queries.copy()
    search(engine, bank, queries, 3, np.arange(120) % 4, np.arange(40) % 4)
    assert np.array_equal(bank, before[0])
    assert np.array_equal(queries, before[1])


@pytest.mark.parametrize("engine", EXACT)
def test_points_that_must_not_be_written_to_are_fine(engine):
    bank, queries = make("gaussian")
    bank.flags.writeable = queries.flags.writeable = False
    assert_same_as_slow_twin(engine, bank, queries, 3)


@pytest.fixture
def measured(monkeypatch):
    """Collect how many pairs torch measures in each tile of queries."""
    counts, measure = [], on_torch.pair_distances

    def spy(left, i, right, j):
        counts.append(len(i))
        return measure(left, i, right, j)

    monkeypatch.setattr(on_torch, "pair_distances", spy)
    return counts


@pytest.mark.parametrize("kind", ["duplicates", "all equal"])
@pytest.mark.parametrize("left_out", [None, np.arange(40) % 4])
def test_torch_measures_all_that_it_cannot_tell_apart(measured, kind, left_out):
    bank, queries = make(kind)
    groups = np.arange(120) % 4
    leaving = {} if left_out is None else {"groups": groups, "left_out": left_out}
    assert_same_as_slow_twin("torch", bank, queries, 2, **leaving)
    alike = {"duplicates": 6, "all equal": 120}[kind]
    assert sum(measured) >= 40 * alike * (0.75 if leaving else 1.0)


@pytest.mark.parametrize(("most", "at_once"), [(7, 10**9), (99, 7 * 120), (7, 1)])
def test_torch_finds_in_tiles_what_it_finds_at_once(
    monkeypatch, measured, most, at_once
):
    monkeypatch.setattr(on_torch, "MOST_QUERIES", most)
    monkeypatch.setattr(on_torch, "SIMILARITIES_AT_ONCE", at_once)
    assert_same_as_slow_twin("torch", *make("duplicates"), 2)
    assert len(measured) == -(-40 // min(most, max(1, at_once // 120)))


@pytest.mark.parametrize("n_neighbors", [1, 3])
@pytest.mark.parametrize("kind", ["gaussian", "huge offset"])
def test_torch_measures_few_pairs_of_well_separated_points(measured, kind, n_neighbors):
    assert_same_as_slow_twin("torch", *make(kind), n_neighbors)
    assert sum(measured) <= 40 * (n_neighbors + 2)


def test_torch_finds_the_same_under_autocast():
    bank, queries = make("gaussian")
    with torch.autocast("cpu", torch.bfloat16):
        assert_same_as_slow_twin("torch", bank, queries, 3)


def test_both_exact_engines_agree_where_only_the_order_of_summation_differs():
    rng = np.random.default_rng(0)
    values = np.linspace(0.1, 1.3, 40)
    bank = np.array([rng.permutation(values) for _ in range(60)])
    first, *others = (search(one, bank, np.zeros((1, 40)), 5)[1] for one in EXACT)
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1.0, 1e17])
@pytest.mark.parametrize(
    ("n_rows", "n_queries", "n_features"),
    [
        (1, 1, 1),
        (31, 17, 3),
        (32, 16, 4),
        (33, 15, 5),
        (FEW_ROWS, 300, 35),
        (FEW_ROWS + 1, 9, 8),
    ],
)
def test_few_rows_give_the_bits_of_many(
    n_rows, n_queries, n_features, scale, n_threads
):
    rng = np.random.default_rng(n_rows)
    bank = scale * rng.normal(size=(n_rows, n_features)).astype(np.float32)
    bank[n_rows // 2 :: 7] = bank[0]  # ties
    queries = scale * rng.normal(size=(n_queries, n_features)).astype(np.float32)
    queries[:: n_rows + 1] = bank[-1]
    with at_most(n_threads):
        found = search("cpu", bank, queries, 1)
        wanted = search("cpu, as of many rows", bank, queries, 1)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "device", "engine"),
    [
        ("exact", "cpu", on_cpu.ExactSearch),
        ("faiss-flat", "cpu", FaissSearch),
        ("faiss-hnsw", "cpu", FaissSearch),
        ("exact", "meta", on_torch.ExactSearch),
    ],
)
def test_kind_and_device_choose_the_engine(kind, device, engine):
    points = as_points(np.ones((3, 2)), "X", "test")
    assert type(build_search(kind, points, np.zeros(3, np.int64), device)) is engine


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_finds_what_the_slow_twin_finds(monkeypatch, kind):
    def on_gpu(points, groups):
        return on_torch.ExactSearch(points, groups, "cuda:0")

    monkeypatch.setitem(ENGINES, "gpu", on_gpu)
    assert_same_as_slow_twin("gpu", *make(kind), 3)
