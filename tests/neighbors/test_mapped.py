"""A bank in a file finds what one in memory finds, and is not read into memory."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys

import numpy as np
import pytest

from adlib import _scratch
from adlib._scratch import in_a_file
from adlib.neighbors import MemoryBank
from adlib.neighbors._cpu import search as on_cpu
from tests import reference

RNG = np.random.default_rng(0)
KINDS = {
    "gaussian": RNG.normal(size=(700, 33)),
    "ties": RNG.integers(-1, 2, (700, 3)),
    "duplicates": np.tile(RNG.normal(size=(100, 5)), (7, 1)),
}
GROUPS = np.arange(700) // 50


@pytest.fixture(autouse=True)
def _blocks_on_disk(tmp_path, monkeypatch):
    """Divide small banks, too, and take the folder of temporary files for a disk."""
    monkeypatch.setattr(on_cpu, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(_scratch, "kind_of_disk", lambda place: "ext4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def mapped(rows, folder, mode="c"):  # writable in memory, so nothing is compiled anew
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode=mode)


def made(kind, tmp_path):
    rows = KINDS[kind].astype(np.float32)
    origins = np.stack([GROUPS, GROUPS, GROUPS], axis=1)
    return rows, MemoryBank(mapped(rows, tmp_path), origins=origins, device="cpu")


@pytest.mark.parametrize("left_out", [None, np.arange(40) % 14])
@pytest.mark.parametrize("n_neighbors", [1, 3, 650])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_are_those_of_the_slow_twin(kind, n_neighbors, left_out, tmp_path):
    rows, bank = made(kind, tmp_path)
    assert len(bank._search._databases) > 1
    queries = rows[::17][:40] + RNG.integers(0, 2, (40, 1)).astype(np.float32)
    found = bank.kneighbors(queries, n_neighbors, left_out=left_out)
    expected = reference.kneighbors(rows, queries, n_neighbors, GROUPS, left_out)
    np.testing.assert_allclose(found.distances, expected[0], rtol=1e-6)
    assert np.array_equal(found.indices, expected[1])
    whole = MemoryBank(rows, origins=bank.origins, device="cpu")
    same = whole.kneighbors(queries, n_neighbors, left_out=left_out)
    assert np.array_equal(found.distances, same.distances)  # bit by bit


@pytest.mark.parametrize("kind", KINDS)
def test_the_farthest_are_those_of_a_bank_in_memory(kind, tmp_path):
    rows, bank = made(kind, tmp_path)
    queries = 2 * rows[::7].reshape(4, 25, -1)
    found = bank.farthest(queries, 3).distances
    expected = MemoryBank(rows, device="cpu").farthest(queries, 3).distances
    highest = [np.sort(one, axis=1)[:, -3:] for one in (found, expected)]
    assert np.array_equal(*highest)


def test_rows_and_sketches_stay_in_files(tmp_path):
    _, bank = made("gaussian", tmp_path)
    assert in_a_file(bank.embeddings)
    assert all(in_a_file(one.panels.words) for one in bank._search._databases)
    assert bank.recall(KINDS["gaussian"][:5] + 0.1).recall == 1.0


def test_what_is_in_memory_is_copied(tmp_path):
    rows = mapped(KINDS["gaussian"].astype(np.float32), tmp_path)
    assert in_a_file(rows)
    assert in_a_file(np.asarray(rows)[3:])
    for one in (np.array(rows), rows.copy(), rows[[1, 2]], rows + 1, None):
        assert not in_a_file(one)
    assert not in_a_file(MemoryBank(rows.copy(), device="cpu").embeddings)


def test_a_disk_without_room_is_an_error_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(_scratch, "kind_of_disk", lambda place: "tmpfs")
    with pytest.raises(OSError, match=r"needed on a disk.*Set XDG_CACHE_HOME") as info:
        made("gaussian", tmp_path)
    assert info.value.errno == errno.ENOSPC


LIMITED = """
import resource, sys
import numpy as np, psutil
from adlib.neighbors import MemoryBank
rows = np.load(sys.argv[1], mmap_mode="r")
queries = rows[::4000] + np.float32(0.1)
MemoryBank(rows[:2000], device="cpu").kneighbors(queries, 3)
most = psutil.Process().memory_info().data + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
found = MemoryBank(rows, device="cpu").kneighbors(queries, 3)
np.save(sys.argv[3], found.indices)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA"), reason="needs a limit")
def test_a_bank_larger_than_memory_is_searched(tmp_path):
    rng = np.random.default_rng(0)
    shape = 200_000, 300
    rows = rng.normal(size=shape).astype(np.float32)
    rows *= np.linspace(1, 0, 300, dtype=np.float32) ** 4
    np.save(tmp_path / "rows.npy", rows)
    given = [str(tmp_path / "rows.npy"), str(rows.nbytes // 2), str(tmp_path / "found")]
    subprocess.run([sys.executable, "-c", LIMITED, *given], check=True)
    expected = MemoryBank(rows, device="cpu").kneighbors(rows[::4000] + 0.1, 3).indices
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected)
