"""A bank in several files finds on Dask's workers what one bank finds."""

from __future__ import annotations

import os
import pickle
import re
import signal
from itertools import pairwise

import numpy as np
import pytest

from adlib import _scratch
from adlib.neighbors import MemoryBank
from tests import reference

pytest.importorskip("distributed", reason="the extra dask is not installed")


from adlib import distributed
from adlib.distributed import _bank
from adlib.distributed._bank import Shard, ShardedBank, merged

RNG = np.random.default_rng(0)
ROWS = RNG.integers(-1, 2, (90, 3)).astype(np.float32)  # many ties, across files
QUERIES = RNG.integers(-1, 2, (12, 3)).astype(np.float32)
ORIGINS = np.stack([np.arange(90) // 10, np.arange(90), np.arange(90)], axis=1)
EDGES = [0, 4, 40, 41, 90]  # the first and third file hold fewer than some ask for


@pytest.fixture(autouse=True)
def _on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(_scratch, "kind_of_disk", lambda place: "ext4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Writable in memory: the loops need not be compiled for other rows.
    monkeypatch.setattr(_bank, "OPENED", "c")


@pytest.fixture
def files(tmp_path):
    return saved(tmp_path, "rows", ROWS)


def saved(folder, name, array):
    paths = []
    for a, b in pairwise(EDGES):
        paths.append(folder / f"{name}{a}.npy")
        np.save(paths[-1], array[a:b])
    return paths


@pytest.mark.parametrize("left_out", [None, np.arange(12) % 11])
@pytest.mark.parametrize("n_neighbors", [1, 5, 80])
def test_the_neighbours_are_those_of_one_bank(
    files, tmp_path, client, n_neighbors, left_out, monkeypatch
):
    monkeypatch.setattr(_bank, "QUERIES_AT_ONCE", 7)
    origins = saved(tmp_path, "origins", ORIGINS)
    bank = ShardedBank(files, client, origins=origins, device="cpu")
    found = bank.kneighbors(QUERIES, n_neighbors, left_out=left_out)
    one = MemoryBank(ROWS, origins=ORIGINS, device="cpu")
    expected = one.kneighbors(QUERIES, n_neighbors, left_out=left_out)
    assert np.array_equal(found.distances, expected.distances)
    assert np.array_equal(found.indices, expected.indices)
    slow = reference.kneighbors(ROWS, QUERIES, n_neighbors, ORIGINS[:, 0], left_out)
    assert np.array_equal(found.indices, slow[1])
    assert found.distances.dtype == np.float32
    assert len(bank) == 90


def test_distances_that_differ_in_float64_alone_are_told_apart(tmp_path, client):
    far = np.float32([[1e4, 1e-2], [1e4, 1e-3], [1e4, 0.0]])
    for i, row in enumerate(far):
        np.save(tmp_path / f"{i}.npy", row[None])
    names = [tmp_path / f"{i}.npy" for i in range(3)]
    found = ShardedBank(names, client, device="cpu").kneighbors([[0.0, 0.0]], 3)
    assert len(np.unique(found.distances)) == 1
    assert found.indices.tolist() == [[2, 1, 0]]


def test_merging_any_parts_is_sorting_them_all():
    squared = RNG.integers(0, 5, (6, 4, 3)).astype(np.float64)
    squared.sort(axis=2)
    indices = RNG.permutation(72).reshape(6, 4, 3)
    parts = list(zip(squared, indices, strict=True))
    near, places = merged(parts)
    for query in range(4):
        pairs = zip(squared[:, query].ravel(), indices[:, query].ravel(), strict=True)
        expected = sorted(pairs)[:3]
        assert list(zip(near[query], places[query], strict=True)) == expected
    folded = parts[0]
    for part in parts[1:]:
        folded = merged([folded, part])
    assert np.array_equal(folded[0], near)
    assert np.array_equal(folded[1], places)


def test_a_shard_travels_as_the_name_of_its_file(files):
    shard = Shard(str(files[1]), None, "cpu")
    content = pickle.dumps(shard)
    assert len(content) < 300
    again = pickle.loads(content)
    assert np.array_equal(again.bank.embeddings, ROWS[4:40])


def test_too_few_entries_that_remain_are_an_error(files, tmp_path, client):
    origins = saved(tmp_path, "origins", ORIGINS)
    bank = ShardedBank(files, client, origins=origins, device="cpu")
    with pytest.raises(ValueError, match=r"n_neighbors .* at most 80, .*; got 81"):
        bank.kneighbors(QUERIES, 81, left_out=np.full(12, 3))
    assert bank.kneighbors(QUERIES, 90).indices.shape == (12, 90)
    with pytest.raises(ValueError, match=r"n_neighbors .* \[1, 90\]; got 91"):
        bank.kneighbors(QUERIES, 91)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"files": "rows.npy"}, TypeError, "files of ShardedBank .*a list of paths"),
        ({"files": []}, ValueError, "files of ShardedBank .*at least one; got none"),
        ({"origins": ["a.npy"]}, ValueError, "origins of ShardedBank .*4 files.*got 1"),
        ({"client": None}, TypeError, "client of ShardedBank"),
        ({"files": ["none.npy"]}, FileNotFoundError, r"none\.npy"),
    ],
)
def test_what_makes_no_sense_is_refused(files, client, given, error, message):
    with pytest.raises(error, match=message):
        distributed.ShardedBank(**{"files": files, "client": client} | given)


def test_files_and_queries_must_fit_each_other(files, tmp_path, client):
    np.save(tmp_path / "wide.npy", np.ones((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"files .*of 3 features.*wide.npy' of 5"):
        ShardedBank([*files, tmp_path / "wide.npy"], client, device="cpu")
    bank = ShardedBank(files, client, device="cpu")
    with pytest.raises(ValueError, match=re.escape("(n_queries, 3) like the bank")):
        bank.kneighbors(np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"left_out of ShardedBank.* origins"):
        bank.kneighbors(QUERIES, left_out=np.zeros(12, int))


def test_a_file_that_holds_no_bank_is_named(files, tmp_path, client):
    broken = tmp_path / "broken.npy"
    for content in (b"", b"xx", files[1].read_bytes()[:-40]):
        broken.write_bytes(content)
        for given in ({"files": [broken]}, {"files": files[:1], "origins": [broken]}):
            message = r"of \.npy files of numbers; got .*broken\.npy', which is none"
            with pytest.raises(ValueError, match=message):
                ShardedBank(client=client, device="cpu", **given)
    np.save(broken, np.full((2, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"broken\.npy' cannot be searched: .*finite"):
        ShardedBank([*files, broken], client, device="cpu")


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing(files, processes, monkeypatch):
    monkeypatch.undo()  # the workers are processes of their own
    if not _scratch.free_disk(_scratch.default_folder()):
        pytest.skip("the folder of caches is no disk")
    bank = ShardedBank(files, processes, device="cpu")
    before = bank.kneighbors(QUERIES, 5)
    (pid, *_) = processes.run(os.getpid).values()
    os.kill(pid, signal.SIGKILL)
    after = bank.kneighbors(QUERIES, 5)
    assert np.array_equal(before.distances, after.distances)
    assert np.array_equal(before.indices, after.indices)
