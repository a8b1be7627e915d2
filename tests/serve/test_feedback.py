"""Accepting: what is added, what is shown, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import adlib
from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.serve._results import Results
from tests.conftest import scratched, texture

SAY = "INSERT INTO labels (result, defect, labelled_utc) SELECT number, ?, '' "
SAY += "FROM results"


def blot(seed):
    """Return a texture with a dark blot at its left edge."""
    image = texture(seed).copy()
    image[40:56, 4:20] = 0
    return image


@pytest.fixture(scope="module")
def judged(good, others, tmp_path_factory):
    """A model, and a folder of images that were judged: odd, plain and blotted ones."""
    root = tmp_path_factory.mktemp("line")
    model = PatchCore(image_size=64, coreset=0.2, progress=False).fit(good)
    model.calibrate(others, false_positive_rate=0.2, review_rate=0.4)
    model.save(root / "part.adlib")
    (root / "in").mkdir()
    for seed in range(3):
        for name, made in (("odd", scratched), ("plain", texture), ("blot", blot)):
            image = Image.fromarray(made(100 + seed))
            image.save(root / "in" / f"{name} {seed}.png")
    given = ["watch", str(root / "in"), "-m", str(root / "part.adlib"), "--once"]
    quick = ["-o", str(root / "results.db"), "--settle", "0", "--interval", "0.01"]
    assert main([*given, *quick]) == 0
    return root


@pytest.fixture
def line(judged, tmp_path):
    """A copy of it that a test may change."""
    root = tmp_path / "line"
    shutil.copytree(judged, root)
    with Results(root / "results.db") as results:
        results.note_product("part", root / "in", root / "part.adlib")
    return root


@contextmanager
def database(line):
    with Results(line / "results.db") as results, results.transaction() as db:
        yield db


def say(line, name, defect):
    """Confirm all results of a name."""
    with database(line) as db:
        db.execute(f"{SAY} WHERE path LIKE ?", (defect, f"{name}%"))


def accept(line, *more, output="part-2.adlib"):
    given = ["accept", str(line / "results.db"), "-m", str(line / "part.adlib")]
    return main([*given, "-o", str(line / output), "--by", "A. Meier", *more])


def decisions(line, file="part-2.adlib"):
    found = adlib.load(line / file).inspect(line / "in")
    return {one.path.rpartition("/")[2]: one.decision for one in found}


def test_accepted_images_pass_and_defects_do_not(line, capsys):
    say(line, "odd", 0)
    say(line, "plain", 0)
    say(line, "blot", 1)
    parent = (line / "part.adlib").read_bytes()
    before = adlib.load(line / "part.adlib")
    assert accept(line) == 0
    out, err = capsys.readouterr()
    rows = [row.split() for row in out.splitlines()]
    assert ["good", "and", "accepted,", "not", "passing", "4", "4", "0"] in rows
    assert ["defects,", "passing", "3", "0", "0"] in rows
    limit = f"{before.threshold_:.6g}"
    assert ["threshold", limit, limit] in rows
    assert "Of 3 confirmed defects that did not pass none passes" in err
    assert "up to 71 % may" in err  # 1 - 0.025 ** (1 / 3)
    assert "The threshold stays" in err
    found = decisions(line)
    assert {found[f"odd {i}.png"] for i in range(3)} == {"PASS"}
    assert "PASS" not in {found[f"blot {i}.png"] for i in range(3)}
    assert (line / "part.adlib").read_bytes() == parent
    (record,) = adlib.load(line / "part-2.adlib").accepted_
    assert record.by == "A. Meier"
    assert record.model == hashlib.sha256(parent).hexdigest()
    files = [Path(one.name) for one in record.images]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert {*(line / "in").glob("odd*")} < {*files}
    assert [one.sha256 for one in record.images] == digests
    assert main(["info", str(line / "part-2.adlib")]) == 0
    shown = capsys.readouterr().out.replace("\n", "").replace(" ", "")
    assert "byA.Meierat2" in shown
    assert all(digest in shown for digest in [*digests, record.model])
    assert accept(line) == 1  # never overwritten
    assert "--output must be a new file" in capsys.readouterr().err


def test_nothing_is_written_where_a_defect_would_pass(line, capsys):
    say(line, "odd", 0)
    say(line, "odd 2", 1)  # looks like what is accepted
    files = sorted(line.iterdir())
    assert accept(line) == 3
    out, err = capsys.readouterr()
    rows = [row.split() for row in out.splitlines()]
    assert ["defects,", "passing", "1", "0", "1"] in rows
    assert "odd 2.png (result" in err
    assert "1 confirmed defects would pass that did not" in err
    assert sorted(line.iterdir()) == files
    with database(line) as db:  # taken back: as if never said
        db.execute(f"{SAY} WHERE path = 'odd 2.png'", (None,))
    assert accept(line) == 0


def test_undo_gives_back_scores_bit_by_bit(line):
    say(line, "odd", 0)
    assert accept(line) == 0
    given = ["accept", "--undo", "-m", str(line / "part-2.adlib")]
    assert main([*given, "-o", str(line / "part-1.adlib")]) == 0
    first, again = (adlib.load(line / f"part{one}.adlib") for one in ("", "-1"))
    images = str(line / "in")
    np.testing.assert_array_equal(again.score(images), first.score(images))
    assert again.threshold_ == first.threshold_
    assert (line / "part-1.adlib").read_bytes() == (line / "part.adlib").read_bytes()
    assert main([*given, "-o", str(line / "part-1.adlib")]) == 1


def test_images_that_changed_or_went_are_left_out_by_name(line, capsys):
    say(line, "odd", 0)
    (line / "in" / "odd 0.png").unlink()
    Image.fromarray(texture(5)).save(line / "in" / "odd 1.png")
    assert accept(line) == 0
    err = capsys.readouterr().err
    assert "left out: " in err
    assert "odd 0.png cannot be read: No such file" in err
    assert "odd 1.png has other bytes than when it was judged" in err
    (record,) = adlib.load(line / "part-2.adlib").accepted_
    assert [one.name for one in record.images] == [str(line / "in" / "odd 2.png")]


def test_defects_that_are_gone_are_a_refusal_unless_allowed(line, capsys):
    say(line, "odd", 0)
    say(line, "blot", 1)
    (line / "in" / "blot 1.png").unlink()
    assert accept(line) == 1
    err = capsys.readouterr().err
    assert "1 confirmed defects cannot be scored" in err
    assert "blot 1.png" in err
    assert not (line / "part-2.adlib").exists()
    assert accept(line, "--allow-missing") == 0


def test_images_are_found_where_they_were_moved_to(line):
    say(line, "odd", 0)
    (line / "in" / "odd 0.png").rename(line / "there.png")
    with database(line) as db:
        text = "UPDATE results SET moved_to = ? WHERE path = 'odd 0.png'"
        db.execute(text, (str(line / "there.png"),))
    assert accept(line) == 0
    (record,) = adlib.load(line / "part-2.adlib").accepted_
    assert str(line / "there.png") in [one.name for one in record.images]


@pytest.mark.slow
def test_a_whole_stretch_sets_the_threshold(line, capsys):
    for seed in range(200, 206):
        Image.fromarray(texture(seed)).save(line / "in" / f"next {seed}.png")
    watched = ["watch", str(line / "in"), "-m", str(line / "part.adlib"), "--once"]
    watched += ["-o", str(line / "results.db"), "--settle", "0"]
    assert main(watched) == 0
    say(line, "odd", 0)
    assert accept(line, "--holdout", "10-15") == 1
    assert "all confirmed; result 10 is not" in capsys.readouterr().err
    say(line, "next", 0)
    assert accept(line, "--holdout", "10-15") == 0
    assert "6 good images of --holdout set the threshold" in capsys.readouterr().err
    model = adlib.load(line / "part-2.adlib")
    stretch = [str(line / "in" / f"next {seed}.png") for seed in range(200, 206)]
    assert model.calibration_.scores == tuple(np.sort(model.score(stretch)).tolist())
    assert model.calibration_.false_positive_rate == 0.2
    assert model.calibration_.review_rate == 0.4
    assert not {one.name for one in model.accepted_[0].images} & set(stretch)
    (line / "in" / "next 203.png").unlink()
    assert accept(line, "--holdout", "10-15", output="part-3.adlib") == 1
    assert "those that are left are a selection" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--holdout", "9-3"], "--holdout must be FROM-TO, as 1200-1300; got '9-3'"),
        (["--product", "other"], "There is nothing to accept: of 0 confirmed images"),
        ([], "There is nothing to accept: of 2 confirmed images"),
    ],
)
def test_wrong_use_is_one_line(line, capsys, more, text):
    with database(line) as db:  # good images that pass
        db.execute(f"{SAY} WHERE decision = 'PASS'", (0,))
    assert accept(line, *more) == 1
    assert text in capsys.readouterr().err
    assert not (line / "part-2.adlib").exists()


def test_one_image_with_two_labels_is_refused(line, capsys):
    say(line, "odd", 0)
    with database(line) as db:
        db.execute("UPDATE results SET sha256 = (SELECT min(sha256) FROM results)")
        db.execute(f"{SAY} WHERE path = 'blot 0.png'", (1,))
    assert accept(line) == 1
    assert "one is confirmed good, the other as a defect" in capsys.readouterr().err


def test_models_that_take_nothing_in_are_refused(line, good, capsys):
    say(line, "odd", 0)
    PaDiM(image_size=64, progress=False).fit(good).save(line / "padim.adlib")
    more = ["-o", str(line / "new.adlib"), "--by", "A"]
    for name, text in (
        ("padim.adlib", "--model must hold a PatchCore"),
        ("part.onnx", "is exported, and takes nothing in"),
    ):
        given = ["accept", str(line / "results.db"), "-m", str(line / name), *more]
        assert main(given) == 1
        assert text in capsys.readouterr().err
    gone = ["accept", str(line / "no.db"), "-m", str(line / "part.adlib"), *more]
    assert main(gone) == 1
    assert "There is no results database" in capsys.readouterr().err
    assert not (line / "no.db").exists()
