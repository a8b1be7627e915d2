from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from adlib._inspection import Inspection
from adlib.serve import _results
from adlib.serve._results import APPLICATION, Result, Results, result_of

NAMES = {"product": "part", "model": "a" * 64, "limits": (2.0, 1.0)}


def row(path="a.png", sha256="1", mtime_ns=5, **given):
    plain = Result(None, "part", "m", path, 3, mtime_ns, sha256, "2026", "PASS", 1.0)
    return plain._replace(**given)


@pytest.fixture
def results(tmp_path):
    with Results(tmp_path / "results.db") as results:
        yield results


def test_what_was_judged_is_what_comes_back(results):
    judged = Inspection("b\udcff.png", 1.5, 1, None, decision="REVIEW", p_value=0.25)
    wanted = result_of(judged, file=(3, 7, "2"), **NAMES)
    assert results.add([row(), wanted]) == 2
    first, second = results.after("part", 0)
    assert second == wanted._replace(number=2)
    assert second.path == "b\udcff.png"  # a name that is no UTF-8
    assert (first.number, second.decision, second.score) == (1, "REVIEW", 1.5)
    assert results.after("part", 1) == [second]
    assert results.after("other", 0) == []


@pytest.mark.parametrize(
    ("judged", "text"),
    [
        (Inspection("a", 1.0, -1, None, "broken", decision="FAIL"), "broken"),
        (Inspection("a", float("nan"), 1, None, decision="PASS"), "score is nan"),
        (Inspection("a", float("inf"), 1, None, decision="PASS"), "score is inf"),
        (Inspection("a", 1.0, None, None), "no threshold"),
    ],
)
def test_what_went_wrong_is_to_be_reviewed(results, judged, text):
    found = result_of(judged, **NAMES)
    assert (found.decision, found.score) == ("REVIEW", None)
    assert text in found.error
    assert results.add([found]) == 1


def test_the_database_itself_refuses_to_let_an_error_pass(results):
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        results.add([row(), row("b.png", score=None, error="broken")])
    assert results.after("part", 0) == []  # all or none


def test_the_same_file_is_there_once_whoever_adds_it(results, tmp_path):
    with Results(tmp_path / "results.db") as other:
        assert other.add([row()]) == 1
    assert results.add([row(), row(sha256="2"), row(mtime_ns=6)]) == 2
    assert results.is_known("part", "a.png", 3, 5)
    assert not results.is_known("part", "a.png", 4, 5)
    assert not results.is_known("other", "a.png", 3, 5)


def test_a_file_that_was_moved_away_may_come_again(results):
    results.add([row()])
    results.sink_at("part", "move")
    results.sink_had("part", "move", 1, moved_to="/out/a.png")
    assert results.last_of("part", "a.png") is None
    assert not results.is_known("part", "a.png", 3, 5)
    assert results.add([row()]) == 1
    assert results.last_of("part", "a.png").number == 2


def test_numbers_are_never_used_again(results):
    results.add([row(), row("b.png")])
    with results.transaction() as db:
        db.execute("DELETE FROM results")
    results.add([row()])
    assert results.after("part", 0)[0].number == 3


def test_a_new_sink_begins_with_what_comes(results):
    results.add([row()])
    assert results.sink_at("part", "webhook") == 1
    results.add([row("b.png"), row("c.png")])
    assert results.n_after("part", 1) == 2
    results.sink_had("part", "webhook", 2, refused=True)
    assert results.sink_at("part", "webhook") == 2
    assert results.sink_at("part", "mqtt") == 3


def test_a_failed_transaction_leaves_nothing(results):
    results.sink_at("part", "webhook")
    with suppress(ZeroDivisionError), results.transaction() as db:
        db.execute("DELETE FROM sinks")
        _ = 1 / 0
    with results.transaction() as db:
        assert db.execute("SELECT count(*) FROM sinks").fetchone() == (1,)


def test_threads_that_open_a_new_database_at_once_make_it_once(tmp_path):
    failed = []

    def add(name):
        try:
            with Results(tmp_path / "new.db") as results:
                results.add([row(name)])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(f"{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Results(tmp_path / "new.db") as results:
        assert [one.number for one in results.after("part", 0)] == [1, 2, 3, 4, 5, 6]


def test_it_says_what_it_is(results, tmp_path):
    db = sqlite3.connect(tmp_path / "results.db")
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_other_files_are_refused_and_left_as_they_are(tmp_path):
    text = tmp_path / "notes.db"
    text.write_bytes(b"not a database, but a long enough text " * 20)
    with pytest.raises(ValueError, match="no results database"):
        Results(text)
    assert text.read_bytes() == b"not a database, but a long enough text " * 20
    db = sqlite3.connect(tmp_path / "other.db")
    db.execute("CREATE TABLE things (a)")
    db.commit()
    db.close()
    with pytest.raises(ValueError, match="of another program") as refused:
        Results(tmp_path / "other.db")
    opened = [Path(file.path).name for file in psutil.Process().open_files()]
    assert "other.db" not in opened, refused
    with pytest.raises(OSError, match="cannot be opened"):
        Results(tmp_path / "missing" / "results.db")


def test_a_later_version_is_refused(results, tmp_path):
    with results.transaction() as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(ValueError, match="has version 2; this adlib knows 1"):
        Results(tmp_path / "results.db")


def test_network_disks_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "kind_of_disk", lambda place: "cifs")
    with pytest.raises(ValueError, match="on a disk of this machine"):
        Results(tmp_path / "results.db")
    assert not (tmp_path / "results.db").exists()


def test_a_database_that_is_taken_away_is_noticed(results, tmp_path):
    assert results.is_in_place()
    (tmp_path / "results.db").rename(tmp_path / "old.db")
    assert not results.is_in_place()
    (tmp_path / "results.db").write_bytes(b"")
    assert not results.is_in_place()
