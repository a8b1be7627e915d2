"""What memory is free, in containers too."""

from __future__ import annotations

import psutil
import pytest

from adlib._memory import available_memory, free_addresses


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


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(tmp_path, monkeypatch, name):
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    free = available_memory(tmp_path / "none", tmp_path)
    taken = psutil.Process().memory_info()
    used = {"RLIMIT_AS": taken.vms, "RLIMIT_DATA": taken.data}[name]

    def limit(kind):
        most = used + 10**7 if kind == getattr(resource, name) else -1
        return most, -1

    monkeypatch.setattr(resource, "getrlimit", limit)
    assert 0 <= available_memory(tmp_path / "none", tmp_path) < min(free, 10**8)
    if name == "RLIMIT_AS":
        assert 0 <= free_addresses() < 10**8
    else:
        assert free_addresses() is None
