"""What can be made again is kept where the platform wants it."""

from __future__ import annotations

import sys

import pytest

from adlib.datasets._cache import cache_folder


def test_a_chosen_folder_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have no XDG")
def test_the_platforms_own_folder_comes_next(monkeypatch, tmp_path):
    monkeypatch.delenv("ADLIB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "adlib"
