"""Fits whose patches memory has no room for: in files, or refused before the work."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import adlib
from adlib import PatchCore
from adlib.estimators import _room
from adlib.estimators._patches import Patches, gather
from adlib.estimators._room import Room
from tests.conftest import quick

IMAGE = 64 * 152 * 4  # bytes of the patches of an image of 64 pixels


@pytest.fixture
def held(tmp_path, monkeypatch):
    """Return a function that sets how many bytes are free, and where files go."""
    monkeypatch.setattr(_room, "default_folder", lambda: tmp_path / "files")

    def hold(memory, disk=10**12):
        monkeypatch.setattr(_room, "available_memory", lambda: int(memory))
        monkeypatch.setattr(_room, "free_disk", lambda folder: int(disk))

    return hold


@pytest.fixture
def full(tmp_path, monkeypatch):
    """Return a function from which on memory has no room for patches."""
    needs = Room.needs

    def fill():
        monkeypatch.setattr(_room, "default_folder", lambda: tmp_path / "files")
        monkeypatch.setattr(
            Room, "needs", lambda *given: needs(*given)._replace(in_a_file=True)
        )

    return fill


@pytest.fixture
def files(monkeypatch):
    """Return a list of the sizes of files that rows are read from in the end."""
    sizes = []
    whole = _room.RowFile.whole

    def counted(self):
        sizes.append(self.n_rows)
        return whole(self)

    monkeypatch.setattr(_room.RowFile, "whole", counted)
    return sizes


def new(**parameters):
    given = {"image_size": 64, "progress": False, "device": "cpu", "batch_size": 2}
    return PatchCore(**(given | parameters))


def saved(model, folder):
    model.save(folder / "model.adlib")
    return (folder / "model.adlib").read_bytes()


WAYS = {
    "defaults": {},
    "a stream of unknown length": {},
    "copies": {"augment": ("flips",)},
    "contamination": {"contamination": 0.1},
    "both": {"augment": ("light",), "contamination": 0.1},
    "a projection": {"projection": 8},
    "at random": {"selection": "random"},
    "two threads": {"n_workers": 2},
    "the paper's embedding": {"embedding": "paper"},
    "an index": {"search": "faiss-ivf", "coreset": 0.5},
    "a region": {"region": [(0, 0), (40, 0), (40, 64), (0, 64)]},
    "leave-one-out": {"false_positive_rate": 0.5, "coreset": 0.3},
    "reweighted": {"aggregation": "reweighted"},
}


@pytest.mark.parametrize("way", quick(WAYS, "defaults", "both", "a region"))
def test_a_model_is_the_same_wherever_patches_were(way, good, full, files, tmp_path):
    def fit():
        X = good if "stream" not in way else (image for image in good)
        return new(**WAYS[way]).fit(X)

    expected = saved(fit(), tmp_path)
    assert files == []
    full()
    assert saved(fit(), tmp_path) == expected
    assert len(files) == 1
    assert list((tmp_path / "files").iterdir()) == []


def test_a_function_as_region_and_skipped_images(good, full, files, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")

    def inside(pixels):
        return pixels > np.median(pixels)

    def fit():
        X = [good[0], bad, *good[1:3], bad, *good[3:]]
        model = new(region=inside, on_error="skip", coreset=0.1)
        with pytest.warns(adlib.exceptions.SkippedImagesWarning):
            return model.fit(X)

    expected = fit()
    full()
    found = fit()
    assert len(files) == 1
    assert saved(found, tmp_path) == saved(expected, tmp_path)
    assert found.skipped_ == expected.skipped_


def test_images_are_added_out_of_memory_too(good, others, full, files, tmp_path):
    expected = saved(new().fit(good).partial_fit(others), tmp_path)
    full()
    assert saved(new().fit(good).partial_fit(others), tmp_path) == expected
    assert len(files) == 2


def test_a_stream_goes_to_a_file_once_memory_is_full(good, held, files, tmp_path):
    expected = saved(new().fit(good), tmp_path)
    held(4 * IMAGE)  # of four images, with what comes on top; not of six
    held_at_once = []
    add = _room.RowFile.add

    def counted(self, rows):
        held_at_once.append(len(rows))
        add(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_room.RowFile, "add", counted)
        found = new().fit(image for image in good)
    assert saved(found, tmp_path) == expected
    # What memory held, in parts, and the last batch.
    assert held_at_once == [128, 128, 128]
    assert files == [384]


@pytest.mark.parametrize("n_images", [None, 9, 12])
def test_all_batches_are_gathered_in_a_file(n_images, full, files):
    rng = np.random.default_rng(0)
    parts = [rng.random((n, 3, 4, 5), dtype=np.float32) for n in (4, 4, 1)]
    batches = [Patches(part, [], [], [], [], []) for part in parts]
    full()
    found = gather(iter(batches), n_images)
    np.testing.assert_array_equal(
        found.embeddings, np.concatenate(parts).reshape(-1, 5)
    )
    assert found.folder is not None
    assert files == [108]


def test_what_goes_to_a_file_is_said_in_one_line(good, held, caplog, capsys):
    held(0.75 * 6 * IMAGE)
    with caplog.at_level(logging.INFO, logger="adlib"):
        new().fit(good)
    (line,) = caplog.messages
    assert line.startswith("The patches of 6 images, 64 of 152 features each, take 0.0")
    assert line.endswith("files.")
    assert "So they go to a file in" in line
    assert capsys.readouterr().err == ""  # no terminal
    caplog.clear()
    held(1.5 * 6 * IMAGE)
    new().fit(good)
    assert caplog.messages == []


def test_without_room_on_the_disk_it_is_refused_before_the_work(good, held, tmp_path):
    model = new(batch_size=2)
    held(0.5 * 1.5 * 6 * IMAGE, 1.5 * 6 * IMAGE - 1)
    with pytest.raises(
        MemoryError,
        match=r"(?s)6 images, 64 of 152 .* GB of memory are free\. On the disk of "
        r".*files they would .* Fit 5 images, set image_size to 1 of its sides, .* or "
        r"set cache to .* To read these images would take about \d",
    ):
        model.fit(good)
    assert not hasattr(model, "memory_bank_")
    assert list(tmp_path.rglob("*")) == []
    held(0.5 * 1.5 * 6 * IMAGE, 0)
    with pytest.raises(MemoryError, match=r"Fit 3 images, set image_size to 0\.71 of"):
        model.fit(good)
    # Of a stream of unknown length nothing is known before, only that it grew.
    with pytest.raises(MemoryError, match="The patches of 6 images"):
        model.fit(image for image in good)
    held(0.5 * 1.5 * 6 * IMAGE, 1.5 * 6 * IMAGE)
    model.fit(good)
    held(0.5 * 1.5 * 6 * IMAGE, 0)
    mask = np.zeros((64, 64), np.bool_)
    mask[:32, :24] = True  # a quarter is left, less 4 columns
    model.set_params(region=mask).fit(good)


def test_a_bank_that_memory_has_no_room_for_is_refused(good, held):
    held(4 * IMAGE)
    with pytest.raises(MemoryError, match="GB of memory beside them"):
        new(coreset=1.0).fit(good)


def test_a_disk_that_gets_full_is_one_clear_error(good, full, monkeypatch, tmp_path):
    full()

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_room.os, "fsync", refuse)
    model = new()
    with pytest.raises(OSError, match=r"No space left .*Set cache .*files") as info:
        model.fit(good)
    assert info.value.errno == errno.ENOSPC
    assert not hasattr(model, "memory_bank_")
    assert list((tmp_path / "files").iterdir()) == []


LIMITED = """
import resource, sys
import numpy as np
import psutil
from adlib import PatchCore
from adlib.estimators import _room
from tests.conftest import quick, texture

good = np.stack([texture(seed) for seed in range(4)]).repeat(128, axis=0)
good[:, 0, 0] = np.arange(512) % 256  # nearly no two are the same
model = PatchCore(image_size=160, coreset=40, progress=False, device="cpu")
model.fit(good[:16])  # what is compiled and kept
_room.default_folder = lambda: _room.Path(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits that Linux keeps")
def test_a_process_stays_under_a_limit_of_its_memory_and_files(tmp_path):
    """By rlimits, which the kernel keeps: of data, then of the size of a file."""
    script = (
        LIMITED
        + """
whole = 512 * 400 * 152 * 4
taken = psutil.Process().memory_info().data
resource.setrlimit(resource.RLIMIT_DATA, (taken + 2 * whole // 3, -1))
try:
    np.ones(whole, np.uint8)
    print("no limit")
except MemoryError:
    print("limited")
model.fit(good)
print(len(model.memory_bank_))
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
resource.setrlimit(resource.RLIMIT_FSIZE, (whole // 8, -1))
try:
    model.set_params(cache=sys.argv[1]).fit(good)
except OSError as error:
    print(error)
"""
    )
    root = Path(adlib.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    limited, size, error = run.stdout.splitlines()
    assert (limited, size) == ("limited", "40")
    assert "File too large" in error
    assert "Set cache to a folder" in error
    # Of the first of these fits nothing is left, of the second what it can go on from.
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["patches.jsonl", "patches.lock", "patches.rows"]


def test_addresses_that_run_out_count_as_disk(good, held, monkeypatch):
    held(0.5 * 1.5 * 6 * IMAGE)
    monkeypatch.setattr(_room, "free_addresses", lambda: 1.2 * 6 * IMAGE)
    with pytest.raises(MemoryError, match="GB can be had there"):
        new().fit(good)
