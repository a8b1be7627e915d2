"""A changed file is swapped in whole; a broken one changes nothing but what is said."""

from __future__ import annotations

import shutil
import threading

import pytest

from adlib.serve import _models
from adlib.serve._models import Models
from tests.serve.conftest import png, serving


@pytest.fixture
def folder(models, tmp_path):
    shutil.copy(models / "part.adlib", tmp_path / "part.adlib")
    return tmp_path


def replace(source, target):
    """Put a file in another's place as `mv` does."""
    shutil.copy(source, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)


def test_a_changed_file_is_swapped_and_each_answer_is_of_one_model(
    folder, models, part, screw, mixed, monkeypatch
):
    monkeypatch.setattr(_models, "SECONDS", 0.05)
    image = png(mixed[-1])
    wanted = {
        model.threshold_: float(model.score(mixed[-1:])[0]) for model in (part, screw)
    }
    with serving(folder) as client:
        first = client.inspect(image).json
        replace(models / "screw.adlib", folder / "part.adlib")
        seen = []
        for _ in range(2000):
            said = client.inspect(image).json
            assert said["images"][0]["score"] == wanted[said["threshold"]]
            seen.append(said["sha256"])
            if said["threshold"] == screw.threshold_:
                break
        assert seen[-1] != first["sha256"]
        assert seen == sorted(seen, key=[first["sha256"], seen[-1]].index)


BROKEN = {
    "empty": lambda whole: b"",
    "cut short": lambda whole: whole[: len(whole) // 2],
    "other bytes": lambda whole: whole[:-1000] + bytes(1000),
    "no model": lambda whole: b"not a model",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_leaves_the_old_in_service(folder, mixed, kind):
    noted = []
    models = Models(folder, device="cpu", each=lambda *one: noted.append(one))
    models.refresh()
    before = models.by_name["part"]
    path = folder / "part.adlib"
    whole = path.read_bytes()
    path.write_bytes(BROKEN[kind](whole))
    models.refresh()
    assert models.by_name["part"] is before
    assert models.errors["part"].startswith("part.adlib is not in service: ")
    models.refresh()
    assert noted == [("part", True), ("part", False)]  # not tried again and again
    path.write_bytes(whole)
    models.refresh()
    assert models.errors == {}
    assert models.by_name["part"] is not before
    assert models.by_name["part"].sha256 == before.sha256


def test_what_is_broken_is_said_in_ready_and_metrics(folder, monkeypatch, mixed):
    monkeypatch.setattr(_models, "SECONDS", 0.05)
    with serving(folder) as client:
        (folder / "part.adlib").write_bytes(b"broken")
        (folder / "nut.adlib").write_bytes(b"broken")
        for _ in range(1000):
            reply = client("GET", "/ready")
            if reply.status == 503 and reply.json["models"]["part"]["error"]:
                break
        assert set(reply.json["models"]) == {"part"}
        assert set(reply.json["missing"]) == {"nut"}
        assert client.inspect(png(mixed[0])).status == 200
        text = client("GET", "/metrics").body.decode()
        assert 'adlib_model_current{model="part"} 0.0' in text
        (folder / "nut.adlib").unlink()
        (folder / "part.adlib").unlink()
        for _ in range(1000):
            reply = client("GET", "/ready")
            if reply.status == 200:
                break
        assert client.inspect(png(mixed[0])).status == 200  # a share may be away


def test_a_model_that_loads_but_cannot_judge_is_not_put_in_service(folder, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such kernel")

    models = Models(folder, device="cpu")
    monkeypatch.setattr("adlib.PatchCore.inspect", fail)
    models.refresh()
    assert models.by_name == {}
    assert models.errors["part"].endswith("no such kernel")


def test_names_are_those_of_files_and_hidden_or_other_files_do_not_count(folder):
    part = folder / "part.adlib"
    for name in ("a b.adlib", ".hidden.adlib", "part.adlib.bak", "note.txt"):
        shutil.copy(part, folder / name)
    (folder / "deep").mkdir()
    shutil.copy(part, folder / "deep" / "below.adlib")
    models = Models(folder, device="cpu")
    models.refresh()
    assert set(models.by_name) == {"a b", "part"}


def test_the_thread_goes_on_where_the_folder_is_away(folder, monkeypatch):
    monkeypatch.setattr(_models, "SECONDS", 0.01)
    models = Models(folder, device="cpu")
    seen = threading.Event()
    refresh = models.refresh

    def away():
        seen.set()
        refresh()

    moved = folder.with_name("moved")
    models.refresh = away
    models.start()
    folder.rename(moved)
    seen.clear()
    assert seen.wait(10)
    moved.rename(folder)
    seen.clear()
    assert seen.wait(10)
    models.stop()
    assert set(models.by_name) == {"part"}
