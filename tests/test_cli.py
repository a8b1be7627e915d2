"""The command line: from folders to a model, a table and pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import adlib
from adlib.cli import main
from adlib.cli._main import spread
from adlib.datasets import ANOMALOUS, NORMAL, elpv_samples
from tests.conftest import scratched, texture
from tests.features.test_runtimes import openvino_or_skip

SMALL = ["--image-size", "64", "--coreset", "0.2"]


def save_all(images, folder):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def one_line(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def defects(mixed, tmp_path_factory):
    """A folder of scratched images, 0.png to 2.png."""
    return save_all(mixed[3:], tmp_path_factory.mktemp("cli") / "defects")


@pytest.fixture(scope="module")
def others(mixed, tmp_path_factory):
    """A folder of other good images, 0.png to 2.png."""
    return save_all(mixed[:3], tmp_path_factory.mktemp("cli") / "others")


@pytest.fixture
def camera(mixed, tmp_path):
    """A folder of good images and, in a subfolder, scratched ones."""
    save_all(mixed[:3], tmp_path / "camera")
    save_all(mixed[3:], tmp_path / "camera" / "late")
    return tmp_path / "camera"


@pytest.fixture(scope="module")
def plain(good, tmp_path_factory):
    """A model file without a threshold."""
    root = tmp_path_factory.mktemp("plain")
    folder = save_all(good, root / "good")
    model = root / "plain.adlib"
    assert main(["fit", str(folder), "-o", str(model), *SMALL, "--holdout", "0"]) == 0
    return model


@pytest.fixture(scope="module")
def judged(good, others, defects, tmp_path_factory):
    """A model file with a threshold between good and scratched images."""
    root = tmp_path_factory.mktemp("judged")
    folder = save_all(good, root / "good")
    model = root / "judged.adlib"
    chosen = ["--good", str(others), "--defects", str(defects)]
    assert main(["fit", str(folder), "-o", str(model), *SMALL, *chosen]) == 0
    return model


def test_fit_info_and_score_go_together(folder, camera, tmp_path, capsys):
    model = tmp_path / "part.adlib"
    command = ["fit", str(folder), "--output", str(model), *SMALL, "--holdout", "0"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "Learning 6 images" in told.err
    assert (
        "76 of 384 patches (19.8 %), 152 features, exact search; covering radius"
        in one_line(told.err)
    )
    assert main(["info", str(model)]) == 0
    shown = one_line(capsys.readouterr().out)
    for text in ("PatchCore", "6 images", "8 x 8", "76 of 384 patches", "no threshold"):
        assert text in shown
    assert main(["score", str(model), str(camera)]) == 0
    told = capsys.readouterr()
    rows = rows_of(told.out)
    assert [row["path"] for row in rows] == sorted(map(str, camera.rglob("*.png")))
    scores = [float(row["score"]) for row in rows]
    wanted = adlib.load(model).score(camera)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    assert {row["verdict"] for row in rows} == {""}
    assert told.err == "6 images.\n"


def test_info_tells_what_an_approximate_search_finds(folder, tmp_path, capsys):
    model = adlib.PatchCore(image_size=64, coreset=0.2, search="faiss-hnsw")
    model.fit(folder).save(tmp_path / "part.adlib")
    assert main(["info", str(tmp_path / "part.adlib")]) == 0
    shown = one_line(capsys.readouterr().out)
    share = f"{model.search_recall_.recall:.4f}"
    assert f"search faiss-hnsw, recall@1 {share} of 308 training patches" in shown


def test_fit_learns_what_the_library_learns(folder, plain):
    model = adlib.PatchCore(image_size=64, coreset=0.2).fit(folder)
    loaded = adlib.load(plain)
    np.testing.assert_array_equal(model.score(folder), loaded.score(folder))


def test_fit_passes_every_option_on(folder, tmp_path):
    model = tmp_path / "part.adlib"
    chosen = ["--aggregation", "max", "--seed", "3", "--device", "cpu"]
    chosen += ["--top-ratio", "0.02"]
    chosen += ["--precision", "bfloat16", "--runtime", "torch"]
    torch.save(timm.create_model("test_byobnet").state_dict(), tmp_path / "net.pth")
    digest = hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()
    weights = f"{tmp_path / 'net.pth'}#sha256={digest}"
    chosen += ["--backbone", "test_byobnet", "--on-error", "skip", "--weights", weights]
    command = ["fit", str(folder), "-o", str(model), *SMALL, "--holdout", "0"]
    assert main([*command, *chosen]) == 0
    parameters = adlib.load(model, device="cpu").get_params()
    wanted = {
        "aggregation": "max",
        "top_ratio": 0.02,
        "random_state": 3,
        "precision": "bfloat16",
        "runtime": "torch",
        "device": "cpu",
        "backbone": "test_byobnet",
        "weights": weights,
        "on_error": "skip",
        "image_size": 64,
        "coreset": 0.2,
    }
    assert {name: parameters[name] for name in wanted} == wanted


def test_padim_learns_and_scores_like_the_library(folder, camera, tmp_path, capsys):
    model = tmp_path / "part.adlib"
    command = ["fit", str(folder), "-o", str(model), "--method", "padim"]
    command += ["--image-size", "64", "--holdout", "0", "--aggregation", "map_max"]
    assert main(command) == 0
    assert "64 positions, 152 of 152 features" in one_line(capsys.readouterr().err)
    loaded = adlib.load(model)
    assert type(loaded) is adlib.PaDiM
    assert loaded.aggregation == "map_max"
    assert main(["info", str(model)]) == 0
    shown = one_line(capsys.readouterr().out)
    assert "PaDiM" in shown
    assert "Gaussians 64 positions" in shown
    assert main(["score", str(model), str(camera)]) == 0
    scores = [float(row["score"]) for row in rows_of(capsys.readouterr().out)]
    expected = adlib.PaDiM(image_size=64, aggregation="map_max").fit(folder)
    np.testing.assert_allclose(scores, expected.score(camera), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--method", "padim", "--coreset", "0.1"], "--coreset belongs to"),
        (["--method", "padim", "--aggregation", "reweighted"], "one of 'max'"),
        (["--aggregation", "map_max"], "one of 'top_mean'"),
    ],
)
def test_options_of_the_other_method_are_refused(
    options, fragment, folder, tmp_path, capsys
):
    model = tmp_path / "part.adlib"
    assert main(["fit", str(folder), "-o", str(model), *options]) == 1
    assert fragment in one_line(capsys.readouterr().err)
    assert not model.exists()


def test_held_out_images_set_the_threshold_and_are_not_learned(
    folder, tmp_path, capsys
):
    model = tmp_path / "part.adlib"
    rates = ["--holdout", "0.5", "--false-positive-rate", "0.3"]
    assert main(["fit", str(folder), "-o", str(model), *SMALL, *rates]) == 0
    told = capsys.readouterr().err
    assert "Learning 3 images" in told
    assert "threshold on 3 good images" in told
    loaded = adlib.load(model)
    held_out = set(map(str, folder.iterdir())) - set(loaded.training_images_)
    assert len(held_out) == 3
    assert loaded.threshold_ == loaded.score(sorted(held_out)).max()


def test_other_good_images_set_the_threshold(folder, others, tmp_path):
    model = tmp_path / "part.adlib"
    rates = ["--good", str(others), "--false-positive-rate", "0.3"]
    assert main(["fit", str(folder), "-o", str(model), *SMALL, *rates]) == 0
    loaded = adlib.load(model)
    assert len(loaded.training_images_) == 6
    assert loaded.threshold_ == loaded.score(others).max()


def test_defects_and_good_images_set_the_threshold(judged, others, defects):
    loaded = adlib.load(judged)
    assert loaded.predict(others).tolist() == [1, 1, 1]
    assert loaded.predict(defects).tolist() == [-1, -1, -1]


def test_of_few_images_each_is_left_out_instead(folder, tmp_path, capsys):
    model = tmp_path / "part.adlib"
    assert main(["fit", str(folder), "-o", str(model), *SMALL]) == 0
    told = one_line(capsys.readouterr().err)
    assert "6 images are too few to hold some out for a rate of 5 %" in told
    assert "leave-one-out scores set the threshold: about 14.3 % of good parts" in told
    loaded = adlib.load(model)
    assert len(loaded.training_images_) == 6
    assert loaded.threshold_ == loaded.left_out_scores_.max()
    assert loaded.calibration_.kind == "leave-one-out"


def test_images_to_look_at_are_named_and_drawn(tmp_path, capsys):
    images = [*(texture(seed) for seed in range(100, 110)), scratched(7)]
    folder = save_all([*images, images[3] // 4 * 4], tmp_path / "good")
    model, pictures = tmp_path / "part.adlib", tmp_path / "look"
    command = ["fit", str(folder), "-o", str(model), *SMALL, "--leave-one-out"]
    assert main([*command, "--false-positive-rate", "0.2"]) == 0
    told = one_line(capsys.readouterr().err)
    assert f"Look at these training images: {folder / '10.png'} stands out" in told
    assert f"{folder / '11.png'} and {folder / '3.png'} are nearly the same" in told
    held_out = ["--holdout", "0", "--examine", str(pictures)]
    assert main([*command[:-1], *held_out]) == 0
    assert "Wrote 2 pictures" in one_line(capsys.readouterr().err)
    names = sorted(path.name for path in pictures.iterdir())
    assert names == ["nearly_the_same_001.png", "stands_out_001.png"]
    inside = ["--holdout", "0", "--examine", str(folder / "look")]
    assert main([*command[:-1], *inside]) == 1
    told = one_line(capsys.readouterr().err)
    assert "--examine must be a folder outside of those that hold the images" in told
    assert "Learning" not in told


def test_copies_and_contamination_are_the_estimators(folder, tmp_path):
    model = tmp_path / "part.adlib"
    more = ["--augment", "flips", "light", "--contamination", "0.05"]
    assert main(["fit", str(folder), "-o", str(model), *SMALL, *more]) == 0
    loaded = adlib.load(model)
    assert loaded.augment == ("flips", "light")
    assert loaded.contamination == 0.05


def test_so_many_images_as_can_promise_the_rate_are_held_out(tmp_path, capsys):
    images = [texture(seed) for seed in range(95)]
    folder = save_all(images, tmp_path / "good")
    model = tmp_path / "part.adlib"
    assert main(["fit", str(folder), "-o", str(model), *SMALL]) == 0
    told = one_line(capsys.readouterr().err)
    assert "Learning 76 images" in told
    assert "threshold on 19 good images: at most 5 % of good parts will be" in told
    assert adlib.load(model).calibration_.kind == "conformal"


def test_a_rate_that_cannot_be_promised_is_refused_before_learning(
    folder, tmp_path, capsys
):
    model = tmp_path / "part.adlib"
    command = ["fit", str(folder), "-o", str(model), *SMALL]
    assert main([*command, "--false-positive-rate", "0.05"]) == 1
    told = capsys.readouterr().err
    assert "--false-positive-rate must be at least 0.5, the lowest that 1 good" in told
    assert "Learning" not in told
    assert not model.exists()


def test_verdicts_are_words_and_set_the_exit_code(judged, camera, others, capsys):
    assert main(["score", str(judged), str(camera), "--fail-on-anomaly"]) == 3
    told = capsys.readouterr()
    verdicts = {row["path"]: row["verdict"] for row in rows_of(told.out)}
    for path, verdict in verdicts.items():
        assert verdict == ("anomalous" if "late" in path else "normal")
    assert "6 images, 3 anomalous (threshold " in told.err
    assert main(["score", str(judged), str(camera)]) == 0
    assert main(["score", str(judged), str(others), "--fail-on-anomaly"]) == 0


def test_few_images_decide_by_two_rates_and_a_law(folder, camera, tmp_path, capsys):
    model, table = tmp_path / "part.adlib", tmp_path / "r.json"
    command = ["fit", str(folder), "-o", str(model), *SMALL, "--review-rate"]
    law = ["--threshold-rule", "log-normal", "--false-positive-rate", "0.02"]
    assert main([*command, "0.4", *law]) == 0
    told = one_line(capsys.readouterr().err)
    assert "leave-one-out scores set the threshold: about 2 %" in told
    assert "about 2 % of good parts predicted anomalous by a log-normal law" in told
    assert "about 40 % of good parts do not pass" in told
    loaded = adlib.load(model)
    (camera / "9.png").write_text("no image")
    words = [str(camera), "--on-error", "skip", "--regions", str(table)]
    assert main(["score", str(model), *words]) == 0
    told = capsys.readouterr()
    rows = rows_of(told.out)
    loaded.on_error = "skip"
    wanted = list(loaded.inspect(camera))
    for row, one in zip(rows, wanted, strict=True):
        assert row["decision"] == one.decision
        if one.error is None:
            assert float(row["p_value"]) == pytest.approx(one.p_value, rel=1e-5)
            ratio = float(row["threshold_ratio"])
            assert ratio == pytest.approx(one.threshold_ratio, rel=1e-5)
    assert [row["decision"] for row in rows if row["verdict"] == "skipped"] == [
        "REVIEW"
    ]
    n_review = sum(one.decision == "REVIEW" for one in wanted) - 1
    assert f", {n_review} to review (above " in told.err
    for noted, one in zip(json.loads(table.read_text()), wanted, strict=True):
        assert noted.get("p_value") == one.p_value
        assert noted["decision"] == one.decision


def test_columns_of_the_table_keep_their_places(judged, camera, capsys):
    assert main(["score", str(judged), str(camera)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "path,score,verdict,error,threshold,worst_row_px,worst_column_px,overlay,"
        "decision,p_value,threshold_ratio"
    )


@pytest.mark.slow  # tests/estimators/test_runtimes.py has it without the command
def test_score_runs_in_another_way_than_fit(judged, camera, capsys):
    openvino_or_skip()
    assert main(["score", str(judged), str(camera)]) == 0
    expected = rows_of(capsys.readouterr().out)
    assert main(["score", str(judged), str(camera), "--runtime", "openvino"]) == 0
    for row, wanted in zip(rows_of(capsys.readouterr().out), expected, strict=True):
        assert row["verdict"] == wanted["verdict"]
        assert float(row["score"]) == pytest.approx(float(wanted["score"]), rel=1e-4)


def test_the_table_goes_to_a_file(judged, camera, tmp_path, capsys):
    assert main(["score", str(judged), str(camera)]) == 0
    printed = capsys.readouterr().out
    table = tmp_path / "scores.csv"
    assert main(["score", str(judged), str(camera), "-o", str(table)]) == 0
    assert capsys.readouterr().out == ""
    # For Excel the file begins with a byte-order mark.
    assert table.read_bytes() == b"\xef\xbb\xbf" + printed.encode()


def test_a_failed_run_leaves_the_old_table(judged, camera, tmp_path, capsys):
    (camera / "9.png").write_text("no image")
    table = tmp_path / "scores.csv"
    table.write_text("old")
    assert main(["score", str(judged), str(camera), "-o", str(table)]) == 1
    assert "9.png" in capsys.readouterr().err
    assert table.read_text() == "old"
    assert not list(tmp_path.glob("*.tmp"))


def test_overlays_keep_the_paths_and_sizes_of_the_images(judged, tmp_path, mixed):
    camera = tmp_path / "camera"
    save_all(mixed[:1], camera)
    save_all(mixed[4:5], camera / "late" / "night")
    wide = Image.fromarray(mixed[5]).resize((90, 50)).convert("RGB")
    wide.save(camera / "late" / "wide.jpg")
    maps = tmp_path / "maps"
    assert main(["score", str(judged), str(camera), "--overlays", str(maps)]) == 0
    written = sorted(path for path in maps.rglob("*") if path.is_file())
    names = ["0.png", "late/night/0.png", "late/wide.png"]
    assert [str(path.relative_to(maps)) for path in written] == names
    # Small images are enlarged by a whole number; the strip is below them.
    for path, size in zip(written, [(256, 299), (256, 299), (270, 193)], strict=True):
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", size)


def test_overlays_of_a_glob_do_not_overwrite_each_other(judged, camera, tmp_path):
    maps = tmp_path / "maps"
    images = str(camera / "**" / "0.png")
    assert main(["score", str(judged), images, "--overlays", str(maps)]) == 0
    assert len(list(maps.rglob("*.png"))) == 2


@pytest.mark.parametrize("option", ["--fail-on-anomaly", "--overlays"])
def test_what_needs_a_threshold_says_so(option, plain, camera, tmp_path, capsys):
    value = [str(tmp_path / "maps")] if option == "--overlays" else []
    assert main(["score", str(plain), str(camera), option, *value]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"error: {option} needs a model with a threshold" in told.err
    assert "--holdout above 0, --good or --defects" in told.err


def test_broken_images_stop_or_are_skipped_as_asked(judged, camera, capsys):
    (camera / "1.png").write_bytes(b"no image")
    command = ["score", str(judged), str(camera)]
    assert main(command) == 1
    assert "1.png must be a readable image" in capsys.readouterr().err
    assert main([*command, "--on-error", "skip", "--fail-on-anomaly"]) == 3
    told = capsys.readouterr()
    row = rows_of(told.out)[1]
    assert row["path"] == str(camera / "1.png")
    assert (row["score"], row["verdict"]) == ("nan", "skipped")
    assert "cannot be decoded" in row["error"]
    assert "6 images, 3 anomalous" in told.err
    assert "1 skipped" in told.err


def test_fit_skips_broken_images_as_asked(folder, tmp_path, capsys):
    (folder / "1.png").write_bytes(b"no image")
    model = tmp_path / "part.adlib"
    command = ["fit", str(folder), "-o", str(model), *SMALL, "--holdout", "0"]
    assert main(command) == 1
    assert "1.png must be a readable image" in capsys.readouterr().err
    assert not model.exists()
    assert main([*command, "--on-error", "skip"]) == 0
    assert "1.png must be a readable image" in capsys.readouterr().err
    assert len(adlib.load(model).training_images_) == 5


@pytest.mark.parametrize(
    ("command", "fragment"),
    [
        (["fit", "{none}", "-o", "{tmp}/m"], "where there is nothing"),
        (["fit", "{empty}", "-o", "{tmp}/m"], "IMAGES must be a folder with images"),
        (["fit", "{folder}", "-o", "{none}/m"], "none' does not exist"),
        (["fit", "{folder}", "-o", "{tmp}/m", "--coreset", "0"], "--coreset must be"),
        (["fit", "{folder}", "-o", "{tmp}/m", "--backbone", "mine"], "a timm network"),
        (["fit", "{folder}", "-o", "{tmp}/m", "--device", "gpu"], "--device must be"),
        (["score", "{none}", "{folder}"], "There is no model file at"),
        (["score", "{folder}/0.png", "{folder}"], "is not a model file of adlib's"),
        (["info", "{none}"], "There is no model file at"),
        (["info", "{folder}"], "is not a model file of adlib's"),
    ],
)
def test_failures_are_one_line(command, fragment, folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {
        "none": tmp_path / "none",
        "empty": tmp_path / "empty",
        "folder": folder,
        "tmp": tmp_path,
    }
    assert main([word.format_map(places) for word in command]) == 1
    told = capsys.readouterr()
    said = ("Learning", "images are too few")
    lines = [one for one in told.err.splitlines() if not any(s in one for s in said)]
    assert told.out == ""
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert fragment in lines[0]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_raises_the_error_wherever_it_stands(place, tmp_path):
    command = ["score", str(tmp_path / "none"), str(tmp_path)]
    command.insert(place, "--debug")
    with pytest.raises(FileNotFoundError, match="no model file"):
        main(command)


@pytest.mark.parametrize(
    ("command", "fragment"),
    [
        (["fit"], "IMAGES|images"),
        (["fit", "folder"], "--output"),
        (["fit", "folder", "-o", "m", "--holdout", "2"], "--holdout"),
        (["fit", "folder", "-o", "m", "--aggregation", "sum"], "--aggregation"),
        (["fit", "folder", "-o", "m", "--seed", "x"], "--seed"),
        (["score", "m"], "IMAGES|images"),
        (["score", "m", "folder", "--on-error", "ignore"], "--on-error"),
        (["score", "m", "folder", "--runtime", "onnx"], "--runtime"),
        (["fit", "folder", "-o", "m", "--precision", "half"], "--precision"),
        (["demo", "--kind", "wafer"], "--kind"),
        (["data"], "Commands"),
        (["data", "download", "visa"], "mvtec-ad"),
        (["paint"], "paint"),
        (["--no-such"], "--no-such"),
        ([], "Commands"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(command, fragment, capsys):
    assert main(command) == 2
    told = capsys.readouterr()
    assert re.search(fragment, told.out + told.err)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--classes a", "--classes a"),
        ("--classes a b -o c", "--classes a --classes b -o c"),
        ("--classes=a b --classes c", "--classes=a --classes b --classes c"),
        ("--classes a b -- c d", "--classes a --classes b -- c d"),
        ("root -- --classes a b", "root -- --classes a b"),
        ("--classes --flag a", "--classes --flag a"),
    ],
)
def test_an_option_may_take_several_values(given, wanted):
    assert spread(given.split()) == wanted.split()


@pytest.mark.parametrize(
    "command", ["fit", "score", "info", "demo", "data download", "data verify"]
)
def test_help_of_every_command_shows_an_example(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    shown = one_line(capsys.readouterr().out)
    assert f"Example: adlib {command}" in shown
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or" in shown


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        f"  {name} " in shown for name in ("fit", "score", "info", "demo", "data")
    )


def test_version_is_the_librarys(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{adlib.__version__}\n"


@pytest.mark.slow
def test_demo_writes_a_page_and_says_where(tmp_path, monkeypatch, capsys):
    cells = elpv_samples("mono")
    functional = [cell for cell in cells if cell.label == NORMAL]
    defective = [cell for cell in cells if cell.label == ANOMALOUS]
    monkeypatch.setattr(
        "adlib.overlays._demo.elpv_samples",
        lambda kind: functional[:34] + defective[:3],
    )
    shown = []
    monkeypatch.setattr("adlib.cli._review.show_page", shown.append)
    page = tmp_path / "page"
    assert main(["demo", "--serve", "-o", str(page)]) == 0
    told = capsys.readouterr()
    assert shown == [page / "results.db"]
    assert (page / "cells.png").is_file()
    assert (page / "index.html").is_file()
    assert str(page / "index.html") in told.out
    assert "image AUROC" in told.out
    assert "Learning 20 functional mono cells" in told.err
