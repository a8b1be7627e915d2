"""Arrays in files that are gone with them."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import psutil
import pytest

from adlib import _scratch
from adlib._scratch import free_disk, kind_of_disk, scratch_array

MAPS = Path("/proc/self/maps")
Disk = namedtuple("Disk", "mountpoint fstype")


def n_open(folder):
    """Return how many files of a folder this process has mapped."""
    return MAPS.read_text(encoding="utf-8").count(str(folder))


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_array_begins_with_zeros_and_can_be_written(tmp_path, in_memory):
    made = scratch_array((3, 5), np.float64, None if in_memory else tmp_path)
    np.testing.assert_array_equal(made, np.zeros((3, 5)))
    made += 1
    assert made.sum() == 15
    assert type(made) is np.ndarray
    assert list(tmp_path.iterdir()) == []
    assert scratch_array((0, 5), np.int8, tmp_path).shape == (0, 5)


@pytest.mark.skipif(not MAPS.exists(), reason="Linux alone")
def test_the_file_is_gone_with_the_array(tmp_path):
    folder = tmp_path / "made" / "with it"
    made = scratch_array((1000,), np.float64, folder)
    assert n_open(folder) == 1
    del made
    assert n_open(folder) == 0


@pytest.mark.parametrize("allocates", [True, False])
def test_a_full_disk_is_an_error_before_a_page_is_missing(
    tmp_path, monkeypatch, allocates
):
    def refuse(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if allocates:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        whole = scratch_array((3 * 2**20 + 7,), np.uint8, tmp_path)
        assert whole.shape == (3 * 2**20 + 7,)
        assert not whole.any()
        monkeypatch.setattr(_scratch, "ZEROS", b"")  # range refuses a step of 0
        monkeypatch.setattr(_scratch, "range", refuse, raising=False)
    with pytest.raises(OSError, match=r"No space left.*Set cache to a folder") as info:
        scratch_array((10,), np.uint8, tmp_path)
    assert info.value.errno == errno.ENOSPC
    assert info.value.filename == str(tmp_path)


def test_free_disk_is_that_of_the_nearest_folder_there_is(tmp_path, monkeypatch):
    asked = []
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(
        _scratch.shutil, "disk_usage", lambda path: asked.append(path) or usage(7)
    )
    disks = [Disk("/", "ext4"), Disk(str(tmp_path / "b"), "tmpfs")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: disks)
    (tmp_path / "b").mkdir()
    assert free_disk(tmp_path / "a" / "new") == 7
    assert asked == [tmp_path]
    # Files of a tmpfs take memory.
    assert free_disk(tmp_path / "b" / "new") == 0
    assert kind_of_disk(tmp_path) == "ext4"

    def refuse(all):
        raise PermissionError

    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    assert kind_of_disk(tmp_path) == ""
