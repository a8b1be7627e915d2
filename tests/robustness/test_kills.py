"""Killed at any moment: the old file or the whole new one, and the next run goes on."""

from __future__ import annotations

import sys

import pytest

from tests.robustness.kills import WORKS, kill_often


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("work", WORKS)
def test_a_killed_process_leaves_nothing_half_written(work, tmp_path):
    found = kill_often(work, 3, 0, tmp_path)
    assert found["kills"] == 3
