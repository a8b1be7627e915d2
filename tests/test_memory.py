"""What memory is free, in containers too, and fits that would not fit."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from adlib import PatchCore
from adlib._memory import available_memory
from adlib.estimators import _patches


def group(folder, names, limit, taken, cached, key):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{taken}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{key} {cached}\nfile 7\n")


TWO = ("memory.max", "memory.current")
ONE = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_the_machine_says_what_is_free(tmp_path):
    free = available_memory(tmp_path / "none", tmp_path)
    assert 0 < free <= psutil.virtual_memory().total


def test_limits_of_control_groups_count(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("0::/user/job\n")
    assert available_memory(own, tmp_path) > 10_000
    group(tmp_path / "user/job", TWO, 9_000, 4_000, 1_000, "inactive_file")
    assert available_memory(own, tmp_path) == 6_000
    group(tmp_path / "user", TWO, 5_000, 4_500, 0, "inactive_file")  # around it
    assert available_memory(own, tmp_path) == 500
    group(tmp_path / "user", TWO, "max", 4_500, 0, "inactive_file")
    assert available_memory(own, tmp_path) == 6_000
    group(tmp_path / "user/job", TWO, 9_000, 9_500, 0, "inactive_file")
    assert available_memory(own, tmp_path) == 0


def test_limits_of_the_first_version_count(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("5:cpu:/a\n4:memory:/job\n0::/\n")
    group(tmp_path / "memory/job", ONE, 9_000, 8_000, 500, "total_inactive_file")
    assert available_memory(own, tmp_path) == 1_500


def test_a_fit_that_would_not_fit_says_so_before(good, monkeypatch):
    model = PatchCore(image_size=64, progress=False, device="cpu")
    needed = 1.5 * 6 * 64 * 152 * 4
    monkeypatch.setattr(_patches, "available_memory", lambda: int(needed / 2))
    with pytest.raises(MemoryError, match=r"6 images, 64 of 152 .* Fit 3 images"):
        model.fit(good)
    assert not hasattr(model, "memory_bank_")
    # Of a stream of unknown length nothing is known before, only that it grew.
    model.set_params(batch_size=2)
    with pytest.raises(MemoryError, match="6 images"):
        model.fit(image for image in good)
    monkeypatch.setattr(_patches, "available_memory", lambda: int(needed) + 1)
    model.fit(good)
    mask = np.zeros((64, 64), np.bool_)
    mask[:32, :24] = True  # a quarter is left, less 4 columns
    monkeypatch.setattr(_patches, "available_memory", lambda: int(needed / 4))
    model.set_params(region=mask).fit(good)
