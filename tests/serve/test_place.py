from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress

import pytest

from adlib.serve import _place
from adlib.serve._deliver import Courier, Notes, Refused
from adlib.serve._place import Place
from adlib.serve._results import Results
from tests.serve.watching import Line, save


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def run(line, how="move", target=None):
    """Judge and place what waits; return what lies where, with its bytes."""
    target = target or line.root / "out"
    Results(line.database).close()
    sink = Place(line.inbox, target, how)
    one = Courier(line.database, "part", sink, Notes(line.said.append))
    line.run(couriers=[one], excluded=target)
    return files_in(target)


def files_in(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(params=["hard links", "another disk", "a disk without links"])
def disk(request, monkeypatch):
    """Let the target be on disks of several kinds."""
    real = os.link

    def link(source, target):
        far = os.path.dirname(source) != os.path.dirname(target)  # noqa: PTH120
        if request.param == "another disk" and far:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        if request.param == "a disk without links":
            raise OSError(errno.EPERM, "Operation not permitted")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    return request.param


def test_images_are_moved_by_decision_and_no_name_is_taken_twice(line, disk):
    wanted = {}
    for value, name in ((10, "a"), (80, "monday/b"), (200, "c")):
        image = save(line.inbox / f"{name}.png", value)
        decision = {10: "PASS", 80: "REVIEW", 200: "FAIL"}[value]
        wanted[f"{decision}/{name}.png"] = image.read_bytes()
    assert run(line) == wanted
    wanted["PASS/a-4.png"] = save(line.inbox / "a.png", 11).read_bytes()
    assert run(line) == wanted
    assert files_in(line.inbox) == {}
    moved = [row.moved_to for row in line.results()]
    assert moved[0] == str(line.root / "out/PASS/a.png")
    assert moved[3] == str(line.root / "out/PASS/a-4.png")


def test_a_file_that_comes_again_is_judged_again_once_the_first_was_moved(line):
    image = save(line.inbox / "a.png", 10)
    copy = shutil.copy2(image, line.root / "copy.png")
    run(line)
    shutil.copy2(copy, image)
    run(line)
    assert [row.path for row in line.results()] == ["a.png", "a.png"]
    assert files_in(line.inbox) == {}


def test_the_target_may_lie_in_the_folder_that_is_watched(line):
    save(line.inbox / "a.png", 10)
    for _ in range(2):
        assert list(run(line, target=line.inbox / "out")) == ["PASS/a.png"]
    assert len(line.results()) == 1


def test_images_are_linked_and_stay(line):
    image = save(line.inbox / "a.png", 10)
    old = image.read_bytes()
    assert run(line, "link") == {"PASS/a.png": old}
    new = save(image, 11).read_bytes()
    assert run(line, "link") == {"PASS/a.png": old, "PASS/a-2.png": new}
    assert files_in(line.inbox) == {"a.png": new}
    assert [row.moved_to for row in line.results()] == [None, None]


def test_what_was_begun_before_a_kill_is_ended(line, disk, monkeypatch):
    """Stop at each call that changes a disk, as if killed there; then go on."""
    calls = []

    class Killed(BaseException):
        pass

    def dying(name, real, at):
        def call(*given, **more):
            calls.append(name)
            if len(calls) == at:
                raise Killed
            return real(*given, **more)

        return call

    names = [(os, "link"), (_place.Path, "rename"), (_place.Path, "unlink")]
    names += [(shutil, "copy2")]
    image = save(line.inbox / "a.png", 10)
    content = image.read_bytes()
    (row,) = line.run()
    for at in range(1, 12):
        shutil.rmtree(line.root / "out", ignore_errors=True)
        image.write_bytes(content)
        calls.clear()
        with monkeypatch.context() as patch:
            for owner, name in names:
                patch.setattr(owner, name, dying(name, getattr(owner, name), at))
            with suppress(Killed):
                Place(line.inbox, line.root / "out", "move").send(row)
        moved = Place(line.inbox, line.root / "out", "move").send(row)
        assert moved == str(line.root / "out/PASS/a.png"), at
        assert files_in(line.root / "out") == {"PASS/a.png": content}, at
        assert files_in(line.inbox) == {}, at
    assert len(calls) < 11  # so every call was the last once


def test_a_file_that_was_replaced_before_it_was_moved_stays(line):
    image = save(line.inbox / "a.png", 10)
    (row,) = line.run()
    new = save(image, 200).read_bytes()
    with pytest.raises(Refused, match="gone or was replaced"):
        Place(line.inbox, line.root / "out", "move").send(row)
    assert files_in(line.inbox) == {"a.png": new}
    assert files_in(line.root / "out") == {}


def test_a_file_that_is_replaced_in_that_very_moment_is_given_back(line, monkeypatch):
    image = save(line.inbox / "a.png", 10)
    (row,) = line.run()
    asked = []

    def is_judged(path, result):
        found = real(path, result)
        if not asked:
            save(image, 200)
        asked.append(path)
        return found

    real = _place._is_judged
    monkeypatch.setattr(_place, "_is_judged", is_judged)
    with pytest.raises(Refused, match="was replaced before it was moved"):
        Place(line.inbox, line.root / "out", "move").send(row)
    assert list(files_in(line.inbox)) == ["a.png"]
    assert line.run()[-1].decision == "FAIL"


def test_a_target_that_cannot_be_is_refused(line, monkeypatch):
    for target in (line.inbox, line.root):
        with pytest.raises(ValueError, match="another folder than the one"):
            Place(line.inbox, target, "move")
    (line.root / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        Place(line.inbox, line.root / "file/out", "move")
