"""What can be made again is kept where the platform wants it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adlib.datasets._cache import cache_folder


@pytest.fixture
def home(monkeypatch, tmp_path):
    for name in ("ADLIB_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


def test_a_chosen_folder_comes_first(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    monkeypatch.setenv("ADLIB_CACHE", str(home / "chosen"))
    assert cache_folder() == home / "chosen"


@pytest.mark.parametrize(
    ("platform", "variable"),
    [("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")],
)
def test_the_platforms_own_folder_comes_next(home, monkeypatch, platform, variable):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(home / "caches"))
    assert cache_folder() == home / "caches" / "adlib"


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_without_a_whole_path_it_is_in_the_home_folder(home, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_folder() == home / ".cache" / "adlib"
    assert not list(home.iterdir())
