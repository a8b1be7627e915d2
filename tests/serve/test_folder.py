from __future__ import annotations

import os

import pytest

from adlib.serve import _folder
from adlib.serve._folder import Folder
from tests.serve.watching import save


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path, 1.0, lambda path, key: False)


def taken(folder, now):
    folder.look(now)
    return [one.path for one in folder.take(100, now)]


def test_a_file_is_taken_once_it_has_settled(folder, tmp_path):
    save(tmp_path / "a.png", 1)
    assert taken(folder, 10.0) == []
    assert taken(folder, 10.9) == []
    assert taken(folder, 11.0) == ["a.png"]
    assert taken(folder, 20.0) == []  # it is in work
    assert folder.n_waiting == 1


def test_a_file_that_grows_is_waited_for(folder, tmp_path):
    part = tmp_path / "a.png"
    for now in (0.0, 0.9, 1.8, 2.7):
        with part.open("ab") as file:
            file.write(b"more")
        assert taken(folder, now) == []
    assert taken(folder, 3.7) == ["a.png"]


def test_a_file_written_again_with_the_same_size_is_waited_for(folder, tmp_path):
    part = save(tmp_path / "a.png", 1)
    assert taken(folder, 0.0) == []
    os.utime(part, ns=(5, 5))
    assert taken(folder, 1.0) == []
    assert taken(folder, 2.0) == ["a.png"]


def test_what_a_file_holds_is_of_one_moment(folder, tmp_path, monkeypatch):
    part = save(tmp_path / "a.png", 1)
    folder.look(0.0)
    (one,) = folder.take(1, 1.0)
    assert folder.load(one).content == part.read_bytes()
    save(part, 2)  # since it was looked at
    assert folder.load(one)[1:] == (None, None, None)
    folder.drop(one)
    folder.look(1.0)
    (again,) = folder.take(1, 2.0)
    part.unlink()
    assert folder.load(again)[1:] == (None, None, None)


def test_what_is_no_image_or_hidden_is_left_out(tmp_path):
    names = ["a.png", "b.PNG", "in/c.jpg", "d.png.part", "e.tmp", ".f.png", "notes.txt"]
    names += [".g/h.png", "@eaDir/i.png", "done/j.png", "done2/k.png", "l"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to("nothing")
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    folder = Folder(tmp_path, 0.0, lambda path, key: False, tmp_path / "done")
    assert sorted(taken(folder, 0.0)) == ["a.png", "b.PNG", "done2/k.png", "in/c.jpg"]
    assert folder.left_out == {".part", ".tmp", ".txt", ""}


def test_files_come_in_the_order_of_their_times(folder, tmp_path):
    for number, name in enumerate("cab"):
        os.utime(save(tmp_path / f"{name}.png", 1), ns=(number, number))
    folder.look(0.0)
    assert [one.path for one in folder.take(2, 1.0)] == ["c.png", "a.png"]
    assert [one.path for one in folder.take(2, 1.0)] == ["b.png"]


def test_a_batch_holds_few_bytes_but_at_least_a_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "MOST_BYTES", 25)
    for name, size in (("a", 30), ("b", 10), ("c", 10), ("d", 10)):
        (tmp_path / f"{name}.png").write_bytes(b"1" * size)
    folder.look(0.0)
    batches = [[one.path[0] for one in folder.take(9, 1.0)] for _ in range(3)]
    assert sorted(map(len, batches)) == [1, 1, 2]
    assert {name for batch in batches for name in batch} == set("abcd")


def test_a_file_that_cannot_be_used_gets_more_time(folder, tmp_path):
    save(tmp_path / "a.png", 1)
    folder.look(0.0)
    (one,) = folder.take(1, 1.0)
    assert folder.try_again(one, 1.0)
    assert folder.take(1, 2.9) == []
    (one,) = folder.take(1, 3.0)
    assert folder.try_again(one, 3.0)
    (one,) = folder.take(1, 7.0)
    assert not folder.try_again(one, 7.0)
    folder.done(one)
    assert folder.n_waiting == 0
    assert taken(folder, 9.0) == []


def test_known_files_are_not_read_unless_they_change(tmp_path):
    save(tmp_path / "a.png", 1)
    asked = []
    folder = Folder(tmp_path, 0.0, lambda path, key: asked.append(path) or True)
    assert taken(folder, 0.0) == taken(folder, 1.0) == []
    assert asked == ["a.png"]
    save(tmp_path / "a.png", 2)
    assert taken(folder, 2.0) == ["a.png"]  # whatever the database knows of it


def test_a_file_too_large_is_not_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "LARGEST", 10)
    save(tmp_path / "a.png", 1)
    folder.look(0.0)
    (one,) = folder.take(1, 1.0)
    assert "more than 10 bytes" in folder.load(one).error


def test_a_folder_inside_that_cannot_be_read_does_not_hide_the_others(
    folder, tmp_path, monkeypatch
):
    save(tmp_path / "a.png", 1)
    save(tmp_path / "locked/b.png", 1)
    real = os.scandir

    def refusing(place):
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", place)
        return real(place)

    monkeypatch.setattr(os, "scandir", refusing)
    folder.look(0.0)
    assert taken(folder, 1.0) == ["a.png"]
    assert "Permission denied" in folder.unreadable[0]


def test_a_folder_that_is_gone_is_an_error_and_nothing_is_forgotten(folder, tmp_path):
    save(tmp_path / "in/a.png", 1)
    folder.root = tmp_path / "in"
    folder.look(0.0)
    (tmp_path / "in").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        folder.look(1.0)
    (tmp_path / "away").rename(tmp_path / "in")
    assert taken(folder, 2.0) == ["a.png"]
