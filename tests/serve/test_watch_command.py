from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

import adlib
from adlib import runtime
from adlib.cli import main
from adlib.serve._results import Results
from tests.conftest import scratched, texture

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture(scope="module")
def part(good, others, tmp_path_factory):
    """A model file with a threshold and a review threshold."""
    model = adlib.PatchCore(image_size=64, coreset=0.2, progress=False).fit(good)
    model.calibrate(others, false_positive_rate=0.2, review_rate=0.4)
    path = tmp_path_factory.mktemp("part") / "part.adlib"
    model.save(path)
    return path


@pytest.fixture
def camera(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for seed in range(5):
        Image.fromarray(texture(100 + seed)).save(folder / f"good {seed}.png")
        Image.fromarray(scratched(seed)).save(folder / f"bad {seed}.png")
    return folder


def watch(folder, model, *more):
    database = folder.parent / "results.db"
    quick = ["--settle", "0", "--interval", "0.01", "--once"]
    given = [str(folder), "-m", str(model), "-o", str(database), *quick, *more]
    return main(["watch", *given])


def test_the_command_says_what_inspect_says(part, camera, capsys):
    table = camera.parent / "results.csv"
    assert watch(camera, part, "--csv", str(table)) == 0
    wanted = {one.path: one for one in adlib.load(part).inspect(camera)}
    with Results(camera.parent / "results.db") as results:
        rows = results.after("part", 0)
    assert len(rows) == len(wanted) == 10
    for row in rows:
        one = wanted[str(camera / row.path)]
        assert row.score == one.score  # bit by bit, in other batches
        assert (row.decision, row.p_value) == (one.decision, one.p_value)
        assert (row.worst_row, row.worst_column) == one.worst_pixel
        regions = [region.as_dict() for region in one.regions]
        assert len(row.as_dict()["regions"]) == len(regions)
        assert [r["area"] for r in row.as_dict()["regions"]] == [
            region["area"] for region in regions
        ]
    assert {row.decision for row in rows if row.path < "c"} == {"FAIL"}
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [r.path for r in rows]
    assert "10 judged" in capsys.readouterr().err
    assert watch(camera, part) == 0
    assert "0 judged" in capsys.readouterr().err


def test_an_exported_model_works_too(camera):
    pytest.importorskip("onnxruntime")
    kept = MODELS / "patchcore-0.1.0.onnx"
    assert watch(camera, kept, "--product", "part") == 0
    wanted = {one.path: one.score for one in runtime.load(kept).inspect(camera)}
    with Results(camera.parent / "results.db") as results:
        rows = results.after("part", 0)
    assert {str(camera / row.path): row.score for row in rows} == wanted


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--settle", "-1"], "--settle must be in [0, 3600) seconds; got -1.0"),
        (["--interval", "nan"], "--interval must be in"),
        (["--product", "a/b"], "--product must begin with a letter"),
        (["--move-to", "x", "--link-to", "y"], "cannot both be given"),
        (["--webhook", "file:///etc/passwd"], "--webhook must be http://"),
        (["--mqtt", "mqtt://host"], "--mqtt must be mqtt://HOST/TOPIC"),
        (["--csv", "a.png"], "is the name of an image"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_written(
    part, camera, given, text, capsys
):
    assert watch(camera, part, *given) == 1
    assert text in capsys.readouterr().err
    assert [path.name for path in camera.parent.iterdir()] == ["camera"]


def test_a_model_that_is_missing_or_cannot_judge_is_refused(
    part, fitted, camera, capsys
):
    assert watch(camera, camera / "gone.adlib") == 1
    assert "There is no model file at" in capsys.readouterr().err
    fitted.save(camera.parent / "plain.adlib")
    assert watch(camera, camera.parent / "plain.adlib") == 1
    assert "has no threshold, so nothing could pass" in capsys.readouterr().err
    assert watch(camera / "gone", part) == 1
    assert "There is no folder" in capsys.readouterr().err


def test_a_second_watch_of_one_product_is_refused(part, camera, capsys):
    with FileLock(camera.parent / "results.db.part.lock"):
        assert watch(camera, part) == 1
        assert "Another adlib watch writes results of 'part'" in capsys.readouterr().err
        assert watch(camera, part, "--product", "other") == 0


def test_a_damaged_database_is_one_line(part, camera, capsys):
    assert watch(camera, part) == 0
    database = camera.parent / "results.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    content[4096 : len(content)] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    assert watch(camera, part) == 1
    assert "results.db" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_its_log_may_be_lines_of_json(camera):
    pytest.importorskip("onnxruntime")
    words = [sys.executable, "-m", "adlib", "watch", str(camera), "--json-log"]
    words += ["-m", str(MODELS / "patchcore-0.1.0.onnx"), "-o", "results.db"]
    words += ["--once", "--settle", "0"]
    done = subprocess.run(words, cwd=camera.parent, capture_output=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["logger"] for line in lines} == {"adlib.watch"}
    assert any(line["message"].startswith("10 judged") for line in lines)
