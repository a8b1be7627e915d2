"""The memory bank checks what it is asked and answers in plain distances."""

from __future__ import annotations

import sys
from typing import get_args

import numpy as np
import pytest
import torch

from adlib.neighbors import MemoryBank
from adlib.neighbors._bank import SearchKind
from adlib.neighbors._cpu import search as cpu_search
from tests import reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(11, 8)).astype(np.float32)
ORIGINS = np.stack([np.arange(60) // 15, np.arange(60) % 15 // 5, np.arange(60) % 5], 1)


def bank(**settings):
    return MemoryBank(X, **({"device": "cpu", "origins": ORIGINS} | settings))


@pytest.mark.parametrize("search", get_args(SearchKind))
@pytest.mark.parametrize("left_out", [None, np.arange(11) % 5])
def test_neighbours_are_those_of_the_slow_twin(search, left_out):
    found = bank(search=search).kneighbors(QUERIES, 4, left_out=left_out)
    distances, indices = reference.kneighbors(X, QUERIES, 4, ORIGINS[:, 0], left_out)
    assert np.array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)
    assert found.distances.dtype == np.float32
    assert found.indices.dtype == np.int64


def test_every_entry_can_be_asked_for():
    found = bank().kneighbors(QUERIES, 60)
    assert np.array_equal(np.sort(found.indices), np.tile(np.arange(60), (11, 1)))
    assert (np.diff(found.distances) >= 0).all()


def test_one_neighbour_is_the_default():
    assert bank().kneighbors(QUERIES).distances.shape == (11, 1)


@pytest.mark.parametrize(
    "variant",
    [lambda a: a.astype(np.float64), np.asfortranarray, lambda a: a.tolist()],
    ids=["float64", "fortran", "list"],
)
def test_the_form_of_bank_and_queries_does_not_matter(variant):
    plain = bank().kneighbors(QUERIES, 3)
    other = MemoryBank(variant(X), device="cpu").kneighbors(variant(QUERIES), 3)
    assert np.array_equal(other.distances, plain.distances)
    assert np.array_equal(other.indices, plain.indices)


def test_the_bank_keeps_embeddings_and_origins():
    kept = bank(origins=ORIGINS.astype(np.int16).tolist())
    assert len(kept) == 60
    assert np.array_equal(kept.embeddings, X)
    assert kept.embeddings.dtype == np.float32
    assert np.array_equal(kept.origins, ORIGINS)
    assert kept.origins.dtype == np.int64


def test_a_bank_need_not_know_its_origins():
    kept = bank(origins=None)
    assert kept.origins is None
    expected = reference.kneighbors(X, QUERIES, 2)[1]
    assert np.array_equal(kept.kneighbors(QUERIES, 2).indices, expected)


def test_the_limit_of_neighbours_counts_only_images_that_are_asked_to_be_left_out():
    uneven = ORIGINS.copy()
    uneven[:55, 0] = 7
    kept = bank(origins=uneven)
    assert kept.kneighbors(QUERIES, 59, left_out=np.full(11, 99)).indices.shape[1] == 59
    assert kept.kneighbors(QUERIES, 5, left_out=np.full(11, 7)).indices.min() == 55
    with pytest.raises(ValueError, match=r"n_neighbors .* \[1, 5\]; got 6"):
        kept.kneighbors(QUERIES, 6, left_out=np.full(11, 7))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"search": "annoy"}, ValueError, "search of MemoryBank .*'exact', 'faiss-fl"),
        ({"search": None}, TypeError, "search of MemoryBank .*got None"),
        ({"origins": ORIGINS[:, :2]}, ValueError, r"origins of MemoryBank .*\(60, 2\)"),
        ({"origins": ORIGINS[:9]}, ValueError, r"origins of MemoryBank .*\(60, 3\) in"),
        ({"origins": ORIGINS * 1.0}, ValueError, "origins of MemoryBank .*float64"),
        ({"device": "gpu"}, ValueError, "device of MemoryBank .*got 'gpu'"),
        ({"device": None}, TypeError, "device of MemoryBank .*got None"),
    ],
)
def test_a_bank_that_makes_no_sense_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        bank(**settings)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=r"device of MemoryBank .*shows 0 CUDA devices"
    ):
        bank(device="cuda")


def test_embeddings_that_are_not_finite_are_refused():
    spoilt = X.copy()
    spoilt[7, 3] = np.inf
    with pytest.raises(ValueError, match=r"X of MemoryBank .*inf in row 7"):
        MemoryBank(spoilt, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"queries": QUERIES[:, :5]}, ValueError, r"\(n_queries, 8\).*\(11, 5\)"),
        ({"queries": QUERIES[0]}, ValueError, r"queries of MemoryBank\.kn.*\(8,\)"),
        ({"queries": [["a"] * 8]}, TypeError, r"queries of MemoryBank\.kneighbors"),
        ({"n_neighbors": 61}, ValueError, r"n_neighbors .* \[1, 60\]; got 61"),
        ({"n_neighbors": 0}, ValueError, r"n_neighbors .* \[1, 60\]; got 0"),
        ({"n_neighbors": True}, TypeError, "n_neighbors .*got True"),
        ({"left_out": np.zeros(10, int)}, ValueError, r"left_out .*\(11,\) integers"),
        ({"left_out": np.zeros(11)}, ValueError, "left_out .*float64"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        bank().kneighbors(**({"queries": QUERIES} | arguments))


@pytest.mark.parametrize("search", ["exact", "faiss-ivf"])
@pytest.mark.parametrize("kind", ["apart", "tied", "alike"])
@pytest.mark.parametrize("n_bank", [1, 17, 3000])
@pytest.mark.parametrize("n_farthest", [1, 7, 200])
def test_the_farthest_are_those_of_the_whole_search(search, kind, n_bank, n_farthest):
    rng = np.random.default_rng(n_bank)
    if kind == "tied":
        X = rng.integers(0, 4, (n_bank, 5))
        queries = rng.integers(0, 5, (3, 200, 5))
    else:
        X = rng.normal(size=(n_bank, 20))
        spread = 1e-7 if kind == "alike" else 1.0
        queries = np.ones((3, 200, 20)) + spread * rng.normal(size=(3, 200, 20))
    searched = MemoryBank(X, search=search, device="cpu")
    found = searched.farthest(queries, n_farthest)
    whole = searched.kneighbors(queries.reshape(600, -1))
    distances, indices = (one.reshape(3, 200) for one in whole)
    lowest = np.sort(distances, axis=1)[:, [-n_farthest]]
    far = distances >= lowest
    np.testing.assert_array_equal(found.distances[far], distances[far])
    np.testing.assert_array_equal(found.indices[far], indices[far])
    assert (found.distances < lowest)[~far].all()
    assert (found.distances >= distances).all()


def test_the_farthest_need_few_whole_searches(monkeypatch):
    searched = []
    whole = cpu_search.update_nearest

    def update_nearest(ids, *rest):
        searched.extend(ids.tolist())
        whole(ids, *rest)

    monkeypatch.setattr(cpu_search, "update_nearest", update_nearest)
    rng = np.random.default_rng(0)
    crowd = MemoryBank(rng.normal(size=(3000, 6)), device="cpu")
    crowd.farthest(rng.normal(size=(2, 800, 6)), 8)
    assert len(set(searched)) == len(searched) < 2 * 800 / 4


@pytest.mark.parametrize(
    ("queries", "n_farthest", "error", "message"),
    [
        (QUERIES, 1, ValueError, r"queries of MemoryBank\.farthest .*\(11, 8\)"),
        (QUERIES[None, :, :5], 1, ValueError, r"like the bank.*\(11, 5\)"),
        (QUERIES[None, :0], 1, ValueError, r"none of them 0.*\(1, 0, 8\)"),
        ([[["a"] * 8]], 1, TypeError, r"queries of MemoryBank\.farthest"),
        (QUERIES[None], 12, ValueError, r"n_farthest .*\[1, 11\]; got 12"),
        (QUERIES[None], 0, ValueError, r"n_farthest .*\[1, 11\]; got 0"),
    ],
)
def test_the_farthest_of_what_makes_no_sense_are_refused(
    queries, n_farthest, error, message
):
    with pytest.raises(error, match=message):
        bank().farthest(queries, n_farthest)


def test_leaving_out_needs_origins():
    with pytest.raises(ValueError, match=r"left_out .*does not know its origins"):
        bank(origins=None).kneighbors(QUERIES, left_out=np.zeros(11, int))


@pytest.mark.parametrize(
    "search", [kind for kind in get_args(SearchKind) if kind != "exact"]
)
def test_missing_faiss_names_the_extra(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    match = rf'search="{search}" needs.*pip install "adlib-vision\[faiss\]"'
    with pytest.raises(ImportError, match=match):
        bank(search=search)
