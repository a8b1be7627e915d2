"""FAISS proposes; distances are true, nothing is lost, and indexes can be kept."""

from __future__ import annotations

from typing import get_args

import faiss
import numpy as np
import pytest

from adlib.neighbors import MemoryBank
from adlib.neighbors._bank import SearchKind
from adlib.neighbors._faiss import (
    CLASSES,
    CODE_BYTES,
    build_index,
    code_shape,
    index_on,
)
from tests import reference
from tests.conftest import quick

KINDS = [kind for kind in get_args(SearchKind) if kind != "exact"]
TRAINED = [kind for kind in KINDS if kind != "faiss-flat"]
FEATURES = [1, 3, 152]
# Share of three neighbours that must be found in clusters of Gaussian noise, which is
# harder than patches are.
BOUNDS = {
    "faiss-flat": 1.0,
    "faiss-ivf": 0.95,
    "faiss-hnsw": 0.95,
    "faiss-ivfpq": 0.85,
    "faiss-sq": 0.95,
}


def make(n_bank, n_features, n_queries=40, seed=0):
    """Return a bank of clusters, queries of the same clusters, and image numbers."""
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(12, n_features))
    near = centres[rng.integers(12, size=n_bank + n_queries)]
    X = (near + rng.normal(size=near.shape)).astype(np.float32)
    return X[:n_bank], X[n_bank:], rng.integers(0, 6, n_bank)


def origins_of(images):
    return np.stack([images, np.zeros_like(images), np.arange(len(images))], axis=1)


def bank_of(kind, X, images=None, index=None):
    origins = None if images is None else origins_of(images)
    return MemoryBank(X, search=kind, origins=origins, device="cpu", index=index)


def assert_true_and_in_order(found, X, queries):
    """Distances are those to the entries named, ascending, each entry named once."""
    named = X[found.indices].astype(np.float64)
    distances = np.linalg.norm(named - queries[:, None].astype(np.float64), axis=2)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)
    assert (np.diff(found.distances) >= 0).all()
    assert all(len(set(row)) == len(row) for row in found.indices.tolist())


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_the_true_ones_to_the_entries_named(kind, n_features):
    X, queries, _ = make(700, n_features)
    found = bank_of(kind, X).kneighbors(queries, 5)
    assert (found.distances.dtype, found.indices.dtype) == (np.float32, np.int64)
    assert_true_and_in_order(found, X, queries)


@pytest.mark.parametrize("n_features", quick(FEATURES, 3))
@pytest.mark.parametrize("kind", KINDS)
def test_nearly_all_neighbours_are_found(kind, n_features):
    X, queries, _ = make(3000, n_features, n_queries=300)
    found = bank_of(kind, X).kneighbors(queries, 3)
    distances, _ = reference.kneighbors(X, queries, 3)
    share = np.mean(found.distances <= distances.astype(np.float32) * (1 + 1e-6))
    assert share >= BOUNDS[kind]


@pytest.mark.parametrize("n_bank", [1, 2, 5, 40])
@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("kind", KINDS)
def test_tiny_banks_are_searched_in_full(kind, n_features, n_bank):
    X, queries, _ = make(n_bank, n_features)
    found = bank_of(kind, X).kneighbors(queries, n_bank)
    distances, indices = reference.kneighbors(X, queries, n_bank)
    assert np.array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bank_of_equal_entries_is_searched(kind, value):
    X = np.full((600, 9), value, np.float32)
    found = bank_of(kind, X).kneighbors(X[:3], 4)
    assert (found.distances == 0).all()
    assert_true_and_in_order(found, X, X[:3])


@pytest.mark.parametrize("kind", KINDS)
def test_values_near_the_largest_allowed_are_searched(kind):
    X, queries, _ = make(300, 8)
    X, queries = X * np.float32(1e17), queries * np.float32(1e17)
    found = bank_of(kind, X).kneighbors(queries, 2)
    assert_true_and_in_order(found, X, queries)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_more_neighbours_than_the_lists_hold_are_found_in_full(kind):
    X, queries, _ = make(3000, 3)
    queries[:20] += 1e4  # far away: neighbours beyond the lists that are visited
    found = bank_of(kind, X).kneighbors(queries, 3000)
    distances, _ = reference.kneighbors(X, queries, 3000)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)
    assert np.array_equal(np.sort(found.indices), np.tile(np.arange(3000), (40, 1)))


@pytest.mark.parametrize("n_neighbors", [1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_left_out_does_not_count(kind, n_neighbors):
    X, queries, images = make(3000, 8)
    left_out = np.arange(40) % 8 - 1  # -1 and 6: no group
    found = bank_of(kind, X, images).kneighbors(queries, n_neighbors, left_out=left_out)
    assert_true_and_in_order(found, X, queries)
    assert not (images[found.indices] == left_out[:, None]).any()
    distances, _ = reference.kneighbors(X, queries, n_neighbors, images, left_out)
    share = np.mean(found.distances <= distances.astype(np.float32) * (1 + 1e-6))
    assert share >= BOUNDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_out_nearly_everything_finds_the_rest(kind):
    X, queries, _ = make(3000, 8)
    images = np.zeros(3000, np.int64)
    images[[7, 70, 700]] = 1
    left_out = np.zeros(40, np.int64)
    found = bank_of(kind, X, images).kneighbors(queries, 3, left_out=left_out)
    _, indices = reference.kneighbors(X, queries, 3, images, left_out)
    assert np.array_equal(found.indices, indices)


@pytest.mark.parametrize("kind", KINDS)
def test_ties_go_to_the_lowest_index(kind):
    X = np.tile(np.float32([[0, 0], [9, 9]]), (4, 1))
    assert bank_of(kind, X).kneighbors(X[:1], 4).indices.tolist() == [[0, 2, 4, 6]]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind == "faiss-ivfpq"))
        for kind in TRAINED
    ],
)
def test_the_same_rows_give_the_same_index_on_any_number_of_threads(kind):
    X, _, _ = make(2000, 8)
    before = faiss.omp_get_max_threads()
    try:
        built = []
        for n_threads in (1, 2, 5, 2):
            faiss.omp_set_num_threads(n_threads)
            built.append(faiss.serialize_index(build_index(kind, X)).tobytes())
    finally:
        faiss.omp_set_num_threads(before)
    assert len(set(built)) == 1


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("n_bank", [1, 5, 700])
@pytest.mark.parametrize("kind", TRAINED)
def test_a_stored_index_gives_the_same_neighbours_without_training(
    kind, n_bank, n_features, monkeypatch
):
    X, queries, images = make(n_bank, n_features)
    bank = bank_of(kind, X, images)
    index = bank.index_bytes()
    assert (index.dtype, index.ndim) == (np.uint8, 1)
    monkeypatch.setattr("adlib.neighbors._faiss.build_index", None)
    again = bank_of(kind, X, images, index)
    assert np.array_equal(again.index_bytes(), index)
    left_out = np.full(40, 2) if (images != 2).any() else None
    for leaving in (None, left_out):
        wanted = bank.kneighbors(queries, left_out=leaving)
        found = again.kneighbors(queries, left_out=leaving)
        assert np.array_equal(found.indices, wanted.indices)
        assert np.array_equal(found.distances, wanted.distances)


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_a_bank_that_needs_no_index_has_none_and_takes_none(kind):
    X, _, _ = make(30, 4)
    assert bank_of(kind, X).index_bytes() is None
    with pytest.raises(ValueError, match=f"index of MemoryBank .*None for .*{kind}"):
        bank_of(kind, X, index=np.zeros(8, np.uint8))


@pytest.mark.parametrize(
    ("index", "fragment"),
    [
        (np.zeros((2, 8), np.uint8), r"\(n_bytes,\) uint8.*\(2, 8\)"),
        (np.zeros(8, np.float32), r"\(n_bytes,\) uint8.*float32"),
        (np.zeros(0, np.uint8), r"\(n_bytes,\) uint8.*\(0,\)"),
        (np.zeros(80, np.uint8), "IndexHNSWFlat of 300 rows.*FAISS cannot read"),
    ],
)
def test_what_is_no_index_is_refused(index, fragment):
    X, _, _ = make(300, 8)
    with pytest.raises(ValueError, match=f"index of MemoryBank must be .*{fragment}"):
        bank_of("faiss-hnsw", X, index=index)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize(("n_bank", "n_features"), [(299, 8), (300, 24)])
def test_the_index_of_another_bank_is_refused(kind, n_bank, n_features):
    index = faiss.serialize_index(build_index(kind, make(n_bank, n_features)[0]))
    came = f"{CLASSES[kind]} of {n_bank} rows and {n_features} features"
    with pytest.raises(ValueError, match=f"300 rows and 8 features; got {came}"):
        bank_of(kind, make(300, 8)[0], index=index)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("other", KINDS)
def test_an_index_of_another_kind_is_refused(kind, other):
    X, _, _ = make(300, 8)
    index = faiss.serialize_index(build_index(other, X))
    if other == kind:
        bank_of(kind, X, index=index)
        return
    wanted = f"{CLASSES[kind]} of 300 rows and 8 features; got {CLASSES[other]}"
    with pytest.raises(ValueError, match=wanted):
        bank_of(kind, X, index=index)


@pytest.mark.parametrize("kind", TRAINED)
def test_an_index_that_is_cut_off_is_refused(kind):
    X, _, _ = make(300, 8)
    index = bank_of(kind, X).index_bytes()
    for length in (1, 10, len(index) // 2, len(index) - 1):
        with pytest.raises(ValueError, match="index of MemoryBank must be the bytes"):
            bank_of(kind, X, index=index[:length])


@pytest.mark.parametrize("kind", ["faiss-ivf", "faiss-ivfpq", "faiss-sq"])
@pytest.mark.parametrize("ids", [np.arange(300) + 1, np.zeros(300, np.int64)])
def test_an_index_that_names_other_rows_is_refused(kind, ids):
    X, _, _ = make(300, 8)
    index = build_index(kind, X)
    index.reset()
    index.add_with_ids(X, ids)
    with pytest.raises(ValueError, match="got one that names other rows"):
        bank_of(kind, X, index=faiss.serialize_index(index))


def test_a_graph_that_leads_to_other_rows_is_refused():
    X, _, _ = make(300, 8)
    index = build_index("faiss-hnsw", X)
    links = faiss.vector_to_array(index.hnsw.neighbors)
    links[5] = 300
    faiss.copy_array_to_vector(links, index.hnsw.neighbors)
    with pytest.raises(ValueError, match="index of MemoryBank must be the bytes"):
        bank_of("faiss-hnsw", X, index=faiss.serialize_index(index))


@pytest.mark.parametrize("kind", get_args(SearchKind))
def test_recall_compares_with_the_exact_search(kind):
    X, queries, images = make(3000, 24, n_queries=200)
    bank = bank_of(kind, X, images)
    recall = bank.recall(queries)
    exact = reference.kneighbors(X, queries, 1)[0][:, 0]
    found = bank.kneighbors(queries).distances[:, 0]
    assert recall.n_queries == 200
    assert recall.recall == np.mean(found <= exact.astype(np.float32) * (1 + 1e-6))
    assert recall.mean_distance == pytest.approx(found.mean(), rel=1e-6)
    assert recall.mean_exact == pytest.approx(exact.mean(), rel=1e-6)
    assert recall.mean_exact <= recall.mean_distance
    if kind in {"exact", "faiss-flat"}:
        assert recall.recall == 1.0


def test_recall_counts_what_is_missed(monkeypatch):
    monkeypatch.setattr("adlib.neighbors._faiss.PROBES", 1)
    X, queries, _ = make(3000, 24, n_queries=200)
    recall = bank_of("faiss-ivf", X).recall(queries)
    assert 0.1 < recall.recall < 1.0
    assert recall.mean_exact < recall.mean_distance


@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 31, 152, 192, 193, 1024, 1031])
def test_codes_fit_any_number_of_features_and_a_gpu(n_features):
    n_bytes, width = code_shape("faiss-ivfpq", n_features)
    assert n_bytes in CODE_BYTES
    assert width % n_bytes == 0
    assert n_features <= width < n_features + n_bytes


def test_indexes_go_to_the_gpu_where_kind_device_and_faiss_allow_it(monkeypatch):
    def to_gpu(resources, number, index):
        return resources, number, index

    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "gpu", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    for kind in KINDS:
        assert index_on(kind, "index", "cpu") == "index"
        there = "index" if kind == "faiss-hnsw" else ("gpu", 1, "index")
        assert index_on(kind, "index", "cuda:1") == there
    monkeypatch.delattr(faiss, "StandardGpuResources")
    assert index_on("faiss-ivf", "index", "cuda:1") == "index"
