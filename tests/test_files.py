"""A file is replaced whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from adlib._files import check_replaceable, replacing


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "model"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_the_old_file_is_seen_until_the_end(tmp_path):
    target = tmp_path / "model"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"


def test_the_path_may_be_a_string_and_need_not_exist(tmp_path):
    with replacing(str(tmp_path / "model")) as temporary:
        temporary.write_bytes(b"\x00\xff")
    assert (tmp_path / "model").read_bytes() == b"\x00\xff"


def test_a_file_name_alone_is_written_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replacing("model") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "model").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_whole_if_the_block_raises(tmp_path, error):
    target = tmp_path / "model"
    target.write_text("old")

    def break_off():
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(error):
        break_off()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_no_debris_is_left_if_the_target_cannot_be_replaced(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    with pytest.raises(OSError, match="model"), replacing(target) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        replacing(tmp_path / "nowhere" / "model").__enter__()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "model") as temporary:
            temporary.write_text("new")
        after = os.umask(umask)
    finally:
        os.umask(before)
    mode = stat.S_IMODE((tmp_path / "model").stat().st_mode)
    assert mode == 0o666 & ~umask
    assert after == umask


def test_a_writer_that_puts_its_own_file_there_does_not_set_permissions(tmp_path):
    with replacing(tmp_path / "model") as temporary:
        temporary.unlink()
        temporary.write_text("new")
        temporary.chmod(0o600)
    (tmp_path / "plain").write_text("")
    modes = [(tmp_path / name).stat().st_mode for name in ("model", "plain")]
    assert modes[0] == modes[1]


def test_a_folder_that_takes_no_file_is_refused_by_the_name_of_the_file(
    tmp_path, monkeypatch
):
    def refuse(*given):
        raise PermissionError(13, "Permission denied", str(given[0]))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match=r"\(Permission denied\): '.*/model'"):
        check_replaceable(tmp_path / "model")
