"""An archive becomes a folder, whole or not at all, and writes nowhere else."""

from __future__ import annotations

import io
import tarfile

import pytest

from adlib.datasets._download import unpack
from adlib.exceptions import DownloadError

GOOD = "nut/train/good/000.png"


def packed(path, files=(GOOD,), *members):
    """Write an archive of files, and of members of other kinds."""
    with tarfile.open(path, "w:xz") as tar:
        for name in files:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"some"))
        for member in members:
            tar.addfile(member)
    return path


def member(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "nut.tar.xz"


def test_an_archive_becomes_its_folder(root, archive):
    unpack(packed(archive, [GOOD, "nut/license.txt"]), root, "nut")
    assert (root / GOOD).read_bytes() == b"some"
    assert list(root.iterdir()) == [root / "nut"]


@pytest.mark.parametrize(
    "odd",
    [
        member("../evil", tarfile.REGTYPE),
        member("nut/../../evil", tarfile.REGTYPE),
        member("nut/out", tarfile.SYMTYPE, "../../evil"),
        member("nut/root", tarfile.SYMTYPE, "/etc/passwd"),
        member("nut/hard", tarfile.LNKTYPE, "/etc/passwd"),
        member("nut/device", tarfile.CHRTYPE),
        member("nut/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda odd: odd.name,
)
def test_paths_out_of_the_folder_and_devices_are_refused(odd, root, archive, tmp_path):
    packed(archive, [GOOD], odd)
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        unpack(archive, root, "nut")
    assert sorted(tmp_path.rglob("*")) == [root, archive]


def test_what_lies_beside_the_folder_is_not_kept(root, archive):
    unpack(packed(archive, [GOOD, "bolt/000.png", "/tmp/evil"]), root, "nut")
    assert [path.name for path in root.iterdir()] == ["nut"]


def test_a_kill_in_the_middle_leaves_no_folder(root, archive, monkeypatch):
    packed(archive, [GOOD, "nut/train/good/001.png"])
    whole = tarfile.TarFile.makefile

    def killed(tar, member, path):
        if member.name != GOOD:
            raise KeyboardInterrupt
        whole(tar, member, path)

    monkeypatch.setattr(tarfile.TarFile, "makefile", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, root, "nut")
    assert list(root.iterdir()) == []


def test_what_a_harder_kill_left_is_swept_away(root, archive):
    left = root / ".nut.abc.tmp" / "nut"
    left.mkdir(parents=True)
    unpack(packed(archive), root, "nut")
    assert [path.name for path in root.iterdir()] == ["nut"]


def test_a_damaged_archive_is_refused(root, archive):
    whole = packed(archive).read_bytes()
    for content in (b"no archive", whole[: len(whole) // 2]):
        archive.write_bytes(content)
        with pytest.raises(DownloadError, match="cannot be unpacked"):
            unpack(archive, root, "nut")
    with pytest.raises(DownloadError, match="must hold a folder 'nut'"):
        unpack(packed(archive, []), root, "nut")
