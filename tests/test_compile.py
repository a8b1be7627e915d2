"""Kernels compile wherever they may be kept, and what is kept is nobody else's."""

from __future__ import annotations

import shutil
import tempfile
import warnings

import numpy as np
import pytest
from numba.core.caching import FunctionCache

from adlib import _compile
from adlib._compile import compiled
from adlib.exceptions import InputWarning


def double(x):
    return x + x


@pytest.fixture(autouse=True)
def unwarned(monkeypatch):
    monkeypatch.setattr(_compile, "_warned", False)


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """A temporary folder of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def no_home(monkeypatch):
    """Let numba find no folder but the one that NUMBA_CACHE_DIR names."""
    init = FunctionCache.__init__

    def find(self, function):
        if not _compile._settings.CACHE_DIR:
            raise RuntimeError("no locator available")
        init(self, function)

    monkeypatch.setattr(FunctionCache, "__init__", find)
    monkeypatch.setattr(_compile._settings, "CACHE_DIR", "")


def test_code_is_kept_in_a_private_temporary_folder(temporary, no_home):
    with pytest.warns(InputWarning, match="Set NUMBA_CACHE_DIR") as told:
        kernel, other = compiled()(double), compiled()(double)
    assert len(told) == 1
    assert kernel(2) == other(2) == 4
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbc"))
    assert _compile._settings.CACHE_DIR == ""
    assert other.stats.cache_hits


@pytest.mark.parametrize("planted", ["open folder", "link", "file", "no sticky bit"])
def test_a_folder_that_others_could_write_to_is_not_taken(temporary, no_home, planted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled()(double)
    (folder,) = temporary.iterdir()
    if planted == "open folder":
        folder.chmod(0o777)
    elif planted == "no sticky bit":
        temporary.chmod(0o777)
    else:
        shutil.rmtree(folder)
        if planted == "link":
            folder.symlink_to(temporary)
        else:
            folder.touch()
    _compile._warned = False
    with pytest.warns(InputWarning, match="compiled again in every process"):
        kernel = compiled()(double)
    assert kernel(2) == 4
    assert not list(temporary.rglob("*.nbc"))


def test_a_damaged_file_is_compiled_again_and_replaced(temporary, monkeypatch):
    monkeypatch.setattr(_compile._settings, "CACHE_DIR", str(temporary))
    assert compiled()(double)(2) == 4
    for suffix in ("*.nbc", "*.nbi"):
        for path in temporary.rglob(suffix):
            path.write_bytes(b"no pickle")
        assert compiled()(double)(2) == 4
    again = compiled()(double)
    assert again(2) == 4
    assert again.stats.cache_hits


def test_a_full_disk_costs_a_warning(temporary, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_compile._settings, "CACHE_DIR", str(temporary))
    kernel = compiled()(double)
    monkeypatch.setattr(FunctionCache, "save_overload", full)
    with pytest.warns(InputWarning, match="No space left on device") as told:
        results = [kernel(2), kernel(np.float32(2))]
    assert results == [4, 4]
    assert len(told) == 1
