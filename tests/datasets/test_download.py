"""A data set comes class by class, once its terms are accepted."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from adlib.cli import main
from adlib.datasets import _download, download, read_samples
from adlib.datasets._mvtec_ad import ARCHIVES, COUNTS, NOTICE
from adlib.exceptions import DownloadError


def packed(class_name):
    """Return the archive of a class of one image."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as tar:
        member = tarfile.TarInfo(f"{class_name}/train/good/000.png")
        tar.addfile(member, io.BytesIO())
    return content.getvalue()


@pytest.fixture
def published(server, monkeypatch):
    """A server that publishes two small classes, nut and bolt."""
    archives = {}
    for name in ("nut", "bolt"):
        content = packed(name)
        server.files |= {f"/{place}/{name}.tar.xz": content for place in "1m"}
        md5 = hashlib.md5(content).hexdigest()
        archives[name] = f"{server.url}/1/{name}.tar.xz", md5
    monkeypatch.setattr(_download, "ARCHIVES", archives)
    return server


def get(root, classes=None, **options):
    return download("mvtec-ad", root, classes, accept_license=True, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_classes_come_where_none_is_named(published, tmp_path):
    root = tmp_path / "data" / "raw"
    lines = []
    assert get(root, say=lines.append) == [root / "nut", root / "bolt"]
    assert names(root) == ["bolt", "nut"]
    assert len(read_samples(root)) == 2
    assert [line.partition(" (")[0] for line in lines] == [
        "nut: downloaded",
        "bolt: downloaded",
    ]


def test_the_classes_named_come_once(published, tmp_path):
    get(tmp_path, ["bolt", "bolt"])
    assert names(tmp_path) == ["bolt"]
    assert published.asked == [("/1/bolt.tar.xz", None)]


def test_a_mirror_has_the_classes_side_by_side(published, tmp_path):
    get(tmp_path, ["nut"], base_url=f"{published.url}/m/")
    assert published.asked == [("/m/nut.tar.xz", None)]


def test_a_class_that_is_there_is_left_as_it_is(published, tmp_path):
    (tmp_path / "nut").mkdir()
    lines = []
    get(tmp_path, ["nut"], say=lines.append)
    assert lines == ["nut: already there."]
    assert published.asked == []
    assert list((tmp_path / "nut").iterdir()) == []


def test_an_archive_that_cannot_be_unpacked_is_kept(published, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on the disk")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extractall", lambda *_, **__: full())
        with pytest.raises(OSError, match="no space"):
            get(tmp_path, ["nut"])
    assert names(tmp_path) == ["nut.tar.xz"]
    get(tmp_path, ["nut"])
    assert names(tmp_path) == ["nut"]
    assert len(published.asked) == 1


def test_another_file_under_the_same_name_is_refused(published, tmp_path):
    published.files["/1/nut.tar.xz"] = packed("bolt")
    with pytest.raises(DownloadError, match="MD5 sum"):
        get(tmp_path, ["nut"])
    assert names(tmp_path) == []


def test_nothing_is_asked_before_the_terms_are_accepted(published, tmp_path):
    with pytest.raises(ValueError, match="accept_license of download must") as caught:
        download("mvtec-ad", tmp_path / "data")
    assert NOTICE in str(caught.value)
    assert published.asked == []
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_downloaded_is_refused_with_what_can(published, tmp_path):
    with pytest.raises(ValueError, match="dataset of download must be one of 'mvtec-"):
        download("visa", tmp_path)
    for wrong in (["wheel"], "nut", []):
        with pytest.raises(ValueError, match="a list of some of nut, bolt; got"):
            get(tmp_path, wrong)
    with pytest.raises(ValueError, match="base_url of download must be an address"):
        get(tmp_path, base_url="file:///mirror")


def test_a_python_that_cannot_unpack_safely_is_refused(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(RuntimeError, match=r"needs Python 3\.11\.4 or later"):
        get(tmp_path)


def test_the_table_of_mvtec_ad_names_each_class_once():
    assert list(ARCHIVES) == sorted(ARCHIVES) == list(COUNTS)
    assert len(COUNTS) == 15
    assert COUNTS["metal_nut"] == (220, 22, 93)
    for name, (url, md5) in ARCHIVES.items():
        assert url.startswith("https://www.mydrive.ch/shares/")
        assert url.endswith(f"/{name}.tar.xz")
        assert len(bytes.fromhex(md5)) == 16
    assert len({md5 for _, md5 in ARCHIVES.values()}) == 15
    assert all(
        word in NOTICE for word in ("CC BY-NC-SA 4.0", "Non-commercial", "CVPR 2019")
    )


COMMAND = ["data", "download", "mvtec-ad"]


@pytest.mark.parametrize(
    "classes",
    [
        ["--classes", "nut", "bolt"],
        ["--classes", "nut", "--classes", "bolt"],
        ["--classes=nut", "bolt"],
    ],
)
def test_the_command_takes_several_classes(classes, published, tmp_path, capsys):
    root = tmp_path / "data"
    command = [*COMMAND, *classes, "--output", str(root), "--accept-license"]
    assert main(command) == 0
    assert names(root) == ["bolt", "nut"]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.index("Non-commercial") < told.err.index("nut: downloaded")


def test_the_command_stops_where_nobody_can_accept_the_terms(published, capsys):
    assert main(COMMAND) == 1
    told = capsys.readouterr().err
    assert told.index("Non-commercial") < told.index(
        "error: The terms must be accepted"
    )
    assert "--accept-license" in told
    assert published.asked == []


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_the_command_asks_at_a_terminal(
    answer, code, published, tmp_path, monkeypatch, capsys
):
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    root = tmp_path / "data"
    assert main([*COMMAND, "-o", str(root), "--classes", "nut"]) == code
    assert root.exists() == (answer == "y")
    assert ("Nothing was downloaded" in capsys.readouterr().err) == (answer == "n")


def test_the_command_takes_a_mirror_and_tells_its_errors(published, tmp_path, capsys):
    command = [*COMMAND, "-o", str(tmp_path), "--accept-license", "--classes", "nut"]
    assert main([*command, "--base-url", f"{published.url}/nowhere"]) == 1
    assert (
        "nowhere/nut.tar.xz cannot be downloaded: HTTP 404" in capsys.readouterr().err
    )
    assert main([*command, "--base-url", f"{published.url}/m"]) == 0
