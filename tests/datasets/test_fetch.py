"""A file comes whole, whatever the server and the line do, or an error says why."""

from __future__ import annotations

import hashlib
import shutil
from types import SimpleNamespace

import pytest

from adlib.datasets import _download
from adlib.datasets._download import TRIES, fetch
from adlib.exceptions import DownloadError

CONTENT = bytes(range(256)) * 4000  # about 1 MB
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "nut.tar.xz"


@pytest.fixture
def url(server):
    server.files["/nut"] = CONTENT
    return f"{server.url}/nut"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(url, target):
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["nut.tar.xz"]


def test_a_cut_connection_goes_on_where_it_stopped(url, server, target):
    server.cuts = [600_000]
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=600000-"]
    assert server.n_served == len(CONTENT)


def test_a_silent_server_is_asked_again(url, server, target, monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", 0.2)
    server.stalls = [600_000]
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=600000-"]


def test_a_line_that_drops_often_gets_there(url, server, target):
    server.cuts = [60_000] * (2 * TRIES)
    fetch(url, target, MD5)
    assert server.n_served == len(CONTENT)


def test_a_line_that_brings_nothing_is_given_up_and_what_came_is_kept(
    url, server, target
):
    server.cuts = [600_000] + [0] * TRIES
    with pytest.raises(DownloadError, match=r"broke off after 600000 .* came is kept"):
        fetch(url, target, MD5)
    assert names(target.parent) == ["nut.tar.xz.part"]
    fetch(url, target, MD5)  # another run
    assert target.read_bytes() == CONTENT
    assert server.n_served == len(CONTENT)


def test_a_server_without_ranges_sends_it_all_again(url, server, target):
    server.knows_ranges = False
    server.cuts = [600_000]
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT
    assert server.n_served == 600_000 + len(CONTENT)


@pytest.mark.parametrize("length", [700_000, 2_000_000])
def test_a_file_that_changed_since_an_earlier_run_comes_anew(
    length, url, server, target
):
    keep_first(url, server, target, b"old" * (length // 3))
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT


def keep_first(url, server, target, content, n_kept=600_000):
    """Leave the first bytes of another content as the part of a broken download."""
    server.files["/nut"] = content
    server.cuts = [n_kept] + [0] * TRIES
    with pytest.raises(DownloadError):
        fetch(url, target, MD5)
    server.files["/nut"] = CONTENT


def test_a_file_that_shrank_below_what_came_comes_anew(url, server, target):
    keep_first(url, server, target, CONTENT * 2, len(CONTENT) + 100)
    fetch(url, target, MD5)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete_is_not_asked_again(url, server, target):
    target.with_name("nut.tar.xz.part").write_bytes(CONTENT)
    fetch(url, target, MD5)
    assert server.n_served == 0


def test_a_wrong_sum_deletes_what_came(url, target):
    with pytest.raises(DownloadError, match="must have the MD5 sum 0123; what came"):
        fetch(url, target, "0123")
    assert names(target.parent) == []


def test_a_file_that_is_there_is_taken_if_its_sum_is_right(url, server, target):
    target.write_bytes(CONTENT)
    fetch(url, target, MD5)
    assert server.asked == []
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="Delete it to download it again"):
        fetch(url, target, MD5)
    assert target.read_bytes() == b"mine"


def test_a_missing_file_is_asked_once_and_refused(url, server, target):
    with pytest.raises(DownloadError, match="HTTP 404 Not Found"):
        fetch(f"{url}2", target, MD5)
    assert len(server.asked) == 1


def test_a_server_that_is_away_is_refused(url, server, target):
    with pytest.raises(DownloadError, match=f"in {TRIES} tries: .*refused"):
        fetch("http://127.0.0.1:1/nut", target, MD5)


def test_a_full_disk_is_told_before_it_is_filled(url, server, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(DownloadError, match=r"must have 2 MB free .* it has 1 MB"):
        fetch(url, target, MD5)
    assert target.with_name("nut.tar.xz.part").stat().st_size == 0
