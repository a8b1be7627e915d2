from __future__ import annotations

import os
import sqlite3
import time

import numpy as np
import pytest
from PIL import Image

from adlib.serve import _watch
from adlib.serve._results import Results
from tests.serve.watching import Line, save, wait_for, write_mean


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def decisions(rows):
    return {row.path: row.decision for row in rows}


def test_each_image_is_judged_once_across_runs(line):
    for name, value in (("a", 10), ("in/b", 80), ("c", 200)):
        save(line.inbox / f"{name}.png", value)
    first = line.run()
    wanted = {"a.png": "PASS", "in/b.png": "REVIEW", "c.png": "FAIL"}
    assert decisions(first) == wanted
    assert line.run() == first
    save(line.inbox / "d.png", 11)
    rows = line.run()
    assert rows[:3] == first
    assert (rows[3].number, rows[3].path) == (4, "d.png")
    assert line.said[-1] == "1 judged: 1 PASS, 0 REVIEW, 0 FAIL; waiting: 0."


def test_a_result_says_what_it_was_made_of(line):
    image = save(line.inbox / "a.png", 80)
    (row,) = line.run()
    pixels = np.asarray(Image.open(image))
    assert row.score == pixels.mean()
    assert (row.threshold, row.review_threshold) == (100.0, 60.0)
    assert row.threshold_ratio == row.score / 100.0
    assert (row.worst_row, row.worst_column, row.height, row.width) == (1, 2, 8, 8)
    assert (row.size, row.mtime_ns) == (image.stat().st_size, image.stat().st_mtime_ns)
    assert (row.error, row.moved_to, row.regions) == (None, None, "[]")
    assert len(row.sha256) == len(row.model) == 64


def test_new_content_under_an_old_name_is_a_new_result(line):
    save(line.inbox / "a.png", 10)
    line.run()
    save(line.inbox / "a.png", 200)
    assert [row.decision for row in line.run()] == ["PASS", "FAIL"]
    save(line.inbox / "a.png", 10)
    assert [row.decision for row in line.run()] == ["PASS", "FAIL", "PASS"]


def test_new_content_within_the_same_tick_of_the_clock_is_noticed(line):
    image = save(line.inbox / "a.png", 10)
    ticks = image.stat().st_mtime_ns
    with line.working() as watch:
        wait_for(lambda: watch.counts.total() == 1)
        new = line.inbox / "new"
        Image.fromarray(np.full((8, 8), 200, np.uint8)).save(new, "png")
        with new.open("ab") as file:  # of the same size, too
            file.write(b"0" * (image.stat().st_size - new.stat().st_size))
        os.utime(new, ns=(ticks, ticks))
        new.replace(image)
        wait_for(lambda: watch.counts.total() == 2)
    assert [row.decision for row in line.results()] == ["PASS", "FAIL"]


def test_a_touched_file_is_not_judged_again(line):
    image = save(line.inbox / "a.png", 10)
    line.run()
    for hours in (-1, 1):  # such as a share whose clock moves to summer time
        ticks = image.stat().st_mtime_ns + hours * 3600 * 10**9
        os.utime(image, ns=(ticks, ticks))
        (row,) = line.run()
        assert row.mtime_ns == ticks


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_the_clock_of_the_machine_decides_nothing(line, monkeypatch, hours):
    for number in range(3):
        image = save(line.inbox / f"{number}.png", 10 + number)
        os.utime(image, ns=(10**18 * (number % 2), 10**18))  # 2001, and 1970
    line.run()
    now = time.time() + 3600 * hours
    monkeypatch.setattr(time, "time", lambda: now)
    save(line.inbox / "3.png", 20)
    assert [row.number for row in line.run()] == [1, 2, 3, 4]


def test_a_broken_image_is_looked_at_again_and_then_to_be_reviewed(line):
    whole = save(line.inbox / "a.png", 10).read_bytes()
    broken = line.inbox / "broken.png"
    broken.write_bytes(whole[:60])
    (line.inbox / "empty.jpg").write_bytes(b"")
    rows = line.run()
    assert decisions(rows) == {
        "a.png": "PASS",
        "broken.png": "REVIEW",
        "empty.jpg": "REVIEW",
    }
    errors = {row.path: row.error for row in rows}
    assert errors["empty.jpg"].startswith("empty.jpg must be a readable image")
    assert line.run() == rows
    broken.write_bytes(whole)  # its writer had been stuck
    assert line.run()[-1].decision == "PASS"


def test_an_image_that_is_completed_between_looks_is_judged_once(line):
    whole = save(line.inbox / "other.png", 10).read_bytes()
    part = line.inbox / "a.png"
    part.write_bytes(whole[:60])

    def complete(one):
        if part.stat().st_size < len(whole):
            part.write_bytes(whole)
        return load(one)

    with Results(line.database) as results:
        watch = line.watch(results)
        load, watch._folder.load = watch._folder.load, complete
        watch.run(once=True)
    assert decisions(line.results()) == {"a.png": "PASS", "other.png": "PASS"}


def test_where_the_model_fails_the_image_is_to_be_reviewed_and_no_other(line):
    for value in (10, 13, 200):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(
            line.inbox / f"{value}.png"
        )
    rows = line.run()
    wanted = {"10.png": "PASS", "13.png": "REVIEW", "200.png": "FAIL"}
    assert decisions(rows) == wanted
    errors = {row.path: row.error for row in rows}
    assert errors["13.png"] == "13.png: RuntimeError: the GPU is on fire"
    assert any("the GPU is on fire" in text for text in line.said)


def test_many_files_are_judged_in_batches_with_the_same_scores(line, monkeypatch):
    monkeypatch.setattr(_watch, "BATCH", 7)
    for number in range(25):
        save(line.inbox / f"{number}.png", 2 * number)
    with Results(line.database) as results:
        watch = line.watch(results)
        watch.run(once=True)
        assert watch._model.now.model.batches[1:] == [7, 7, 7, 4]
    for row in line.results():
        pixels = np.asarray(Image.open(line.inbox / row.path))
        assert row.score == pixels.mean()


def test_a_model_without_threshold_is_refused(line):
    write_mean(line.model, None)
    with pytest.raises(ValueError, match="has no threshold, so nothing could pass"):
        line.run()


def test_a_changed_model_is_swapped_and_a_broken_one_is_not(line):
    def judge(name, value):
        n_before = watch.counts.total()
        save(line.inbox / f"{name}.png", value)
        wait_for(lambda: watch.counts.total() > n_before)

    with line.working() as watch:
        judge("a", 80)
        for broken in ('{"not": 1}', "[", "[null]"):
            line.model.write_text(broken)
            wait_for(lambda: "the old stays" in line.said[-1])
            judge(f"b{len(broken)}", 80)
            line.said.append("")
        write_mean(line.model, 70.0)
        wait_for(lambda: "the new model is in service" in line.said[-1])
        judge("c", 80)
        line.model.unlink()
        judge("d", 80)
    rows = line.results()
    found = [row.decision for row in rows]
    assert found == ["REVIEW"] * 4 + ["FAIL"] * 2
    assert len({row.model for row in rows[:4]}) == 1
    assert rows[4].model == rows[5].model != rows[0].model


def test_a_database_that_another_process_locks_is_waited_for(line, monkeypatch):
    monkeypatch.setattr("adlib.serve._results.PATIENCE", 0.05)
    with line.working(settle=0.2) as watch:
        other = sqlite3.connect(line.database, isolation_level=None, timeout=20)
        other.execute("BEGIN IMMEDIATE")
        for number in range(20):
            save(line.inbox / f"{number}.png", number)
        wait_for(lambda: any("database is locked" in text for text in line.said))
        time.sleep(0.3)
        assert watch.counts.total() == 0
        other.execute("ROLLBACK")
        other.close()
        wait_for(lambda: watch.counts.total() == 20)
    assert len(line.results()) == 20
    assert sum("locked" in text for text in line.said) == 1  # not at each try


def test_it_can_be_stopped_while_the_database_is_locked(line, monkeypatch):
    monkeypatch.setattr("adlib.serve._results.PATIENCE", 0.05)
    with line.working():
        other = sqlite3.connect(line.database, isolation_level=None, timeout=20)
        other.execute("BEGIN IMMEDIATE")
        save(line.inbox / "a.png", 10)
        wait_for(lambda: any("database is locked" in text for text in line.said))
    other.close()
    assert line.results() == []
    assert len(line.run()) == 1


def test_a_database_that_is_removed_ends_it(line):
    with Results(line.database) as results:
        watch = line.watch(results)
        line.database.unlink()
        with pytest.raises(OSError, match="was removed or replaced"):
            watch.run(once=True)


def test_a_folder_that_goes_and_comes_again_loses_nothing(line):
    save(line.inbox / "a.png", 10)
    with line.working() as watch:
        wait_for(lambda: watch.counts.total() == 1)
        away = line.inbox.rename(line.root / "away")
        wait_for(lambda: any("cannot be read" in text for text in line.said))
        save(away / "b.png", 10)
        away.rename(line.inbox)
        wait_for(lambda: watch.counts.total() == 2)
    assert decisions(line.results()) == {"a.png": "PASS", "b.png": "PASS"}


def test_stopping_ends_after_the_batch_in_work(line, monkeypatch):
    monkeypatch.setattr(_watch, "BATCH", 2)
    for number in range(20):
        save(line.inbox / f"{number}.png", number)
    with Results(line.database) as results:
        watch = line.watch(results)
        judge = watch._judge

        def judge_then_stop(files):
            judge(files)
            watch.stop.set()

        watch._judge = judge_then_stop
        watch.run()
    assert len(line.results()) == 2
    assert len(line.run()) == 20
