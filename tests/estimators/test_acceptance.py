"""Good images that did not pass are accepted, with who and when, and undone."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

import adlib
from adlib import PatchCore
from adlib.estimators._model_file import read_model, write_model
from adlib.exceptions import ModelFileError
from tests.conftest import scratched, texture


def learned(good, **parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen).fit(good)


@pytest.fixture
def model(good, others):
    return learned(good).calibrate(others, false_positive_rate=0.2)


@pytest.fixture(scope="module")
def odd():
    """Three good images that do not pass: they have a scratch that is no defect."""
    return np.stack([scratched(seed) for seed in (30, 31, 32)])


@pytest.fixture(scope="module")
def new():
    images = [texture(seed) for seed in range(40, 46)]
    return np.stack([*images, *(scratched(seed) for seed in range(50, 54))])


def test_the_patches_above_the_threshold_and_no_others_are_added(model, odd):
    before = model.memory_bank_
    embeddings = np.stack([one.patches for one in model.embeddings(odd)])
    wanted = []  # the slow way
    for number, image in enumerate(embeddings):
        for row, column in np.ndindex(image.shape[:2]):
            (distance,) = before.kneighbors(image[row, column][None]).distances[:, 0]
            if float(distance) > model.threshold_:
                wanted.append((6 + number, row, column, image[row, column]))
    limits = model.threshold_, model.pixel_threshold_, model.calibration_
    assert model.accept(odd, by="A. Meier") is model
    bank = model.memory_bank_
    np.testing.assert_array_equal(bank.embeddings[: len(before)], before.embeddings)
    added = bank.embeddings[len(before) :]
    np.testing.assert_array_equal(added, [one[3] for one in wanted])
    assert bank.origins[len(before) :].tolist() == [list(one[:3]) for one in wanted]
    assert 0 < len(added) < embeddings[..., 0].size
    assert (model.threshold_, model.pixel_threshold_, model.calibration_) == limits
    assert model.training_images_[6:] == ["image 0", "image 1", "image 2"]
    assert model.accepted_[0].n_entries == len(added)
    assert model.n_patches_ == 9 * 64


@pytest.mark.parametrize("aggregation", ["top_mean", "max"])
def test_no_score_rises_and_what_was_accepted_passes(
    good, others, odd, new, aggregation
):
    model = learned(good, aggregation=aggregation, top_ratio=0.1)
    model.calibrate(others, false_positive_rate=0.2, review_rate=0.6)
    scores, maps = model.score(new), model.anomaly_maps(new)
    assert {one.decision for one in model.inspect(odd)} == {"FAIL"}
    model.accept(odd, by="A. Meier")
    assert {one.decision for one in model.inspect(odd)} == {"PASS"}  # not to review
    assert (model.score(new) <= scores).all()
    assert (model.anomaly_maps(new) <= maps).all()
    assert (model.score(new) < scores).any()


def test_undo_gives_back_the_very_file(model, others, odd, new, tmp_path):
    paths = [tmp_path / name for name in ("0", "1", "2", "undone 1", "undone 0")]
    model.save(paths[0])
    scores = model.score(new)
    model.accept(odd[:1], by="A. Meier", sha256=["ab"], model="cd").save(paths[1])
    second = model.accept(odd[1:], by="B. Roth")
    second.calibrate(others[::-1], false_positive_rate=0.5).save(paths[2])
    again = adlib.load(paths[2])
    assert again.accepted_ == model.accepted_
    again.undo_accept().save(paths[3])
    again.undo_accept().save(paths[4])
    assert paths[3].read_bytes() == paths[1].read_bytes()
    assert paths[4].read_bytes() == paths[0].read_bytes()
    np.testing.assert_array_equal(again.score(new), scores)
    with pytest.raises(ValueError, match="has nothing to undo: nothing was accepted"):
        again.undo_accept()
    np.testing.assert_array_equal(model.undo_accept().undo_accept().score(new), scores)


@pytest.mark.parametrize("saved", [False, True])
def test_undo_gives_back_no_threshold_of_other_scores(
    model, others, odd, new, tmp_path, saved
):
    model.accept(odd, by="A. Meier").set_params(aggregation="max")
    model.calibrate(others, false_positive_rate=0.2)
    if saved:
        model.save(tmp_path / "part.adlib")
        model = adlib.load(tmp_path / "part.adlib")
    model.undo_accept()
    assert model.threshold_ is model.pixel_threshold_ is model.calibration_ is None
    with pytest.raises(NotFittedError, match="has no threshold yet"):
        model.predict(new)


def test_a_threshold_that_undo_gives_back_is_for_its_own_scores(model, odd, new):
    threshold = model.threshold_
    model.accept(odd, by="A. Meier").set_params(aggregation="max").undo_accept()
    with pytest.raises(ValueError, match="with which the threshold was set"):
        model.predict(new)
    model.set_params(aggregation="top_mean")
    assert model.threshold_ == threshold
    assert set(model.predict(new)) == {1, -1}


def test_the_file_says_who_accepted_what_and_when(model, odd, tmp_path):
    model.accept(odd[:2], by="A. Meier", sha256=["ab", "ef"], model="cd")
    model.save(tmp_path / "part.adlib")
    (found,) = adlib.load(tmp_path / "part.adlib").accepted_
    assert (found.by, found.model) == ("A. Meier", "cd")
    assert [tuple(one) for one in found.images] == [
        ("image 0", "ab"),
        ("image 1", "ef"),
    ]
    assert found.when.endswith("+00:00")
    text = model.describe()["accepted"]
    assert "accepted 2 images" in text
    assert "by A. Meier at 2" in text
    assert "no score has risen since" in text
    model.threshold_ = 1.0
    model.calibrate(odd[2:], false_positive_rate=0.5)
    assert "has risen" not in model.describe()["accepted"]


def test_images_that_were_accepted_do_not_calibrate(model, odd):
    model.accept(odd, by="A. Meier")
    with pytest.raises(ValueError, match="that fit did not learn from"):
        model.calibrate(odd, false_positive_rate=0.5)


def test_what_is_forgotten_or_learned_later_cannot_be_undone(model, good, odd):
    model.accept(odd, by="A. Meier", sha256=["a", "b", "c"])
    model.accept(odd[::-1] // 2, by="B. Roth")
    model.forget(["image 1"])  # good[1] too: arrays are numbered in each call
    names = [[one.name for one in record.images] for record in model.accepted_]
    assert names == [["image 0", "image 2"], ["image 0", "image 2"]]
    with pytest.raises(ValueError, match="partial_fit or forget has changed"):
        model.undo_accept()
    model.fit(good)
    assert model.accepted_ == ()


def test_an_accepted_image_that_has_no_entries_any_more_is_forgotten(
    others, odd, tmp_path
):
    files = [str(tmp_path / f"{i}.png") for i in range(8)]
    for file, image in zip(files, [*others, *odd[:2]], strict=True):
        Image.fromarray(image).save(file)
    model = learned(files[:3], coreset=1).calibrate(files[3:6], false_positive_rate=0.3)
    model.accept(files[6:], by="A. Meier", sha256=["a" * 64, "b" * 64])
    model.partial_fit(files[3:6])  # which leaves one entry
    gone = next(file for file in files[6:] if file not in model.training_images_)
    assert gone in [image.name for image in model.accepted_[0].images]
    model.forget([gone]).save(tmp_path / "part.adlib")
    assert gone.encode() not in (tmp_path / "part.adlib").read_bytes()


def test_a_region_counts_its_own_patches_alone(good, others, odd):
    region = np.zeros((64, 64), np.bool_)
    region[16:48, 16:] = True
    model = learned(good, region=region).calibrate(others, false_positive_rate=0.2)
    before, learned_from = len(model.memory_bank_), model.n_patches_
    model.accept(odd, by="A. Meier")
    added = model.memory_bank_.origins[before:]
    assert added[:, 1].min() >= 2
    assert added[:, 1].max() < 6
    assert added[:, 2].min() >= 2
    assert model.n_patches_ == learned_from * 9 // 6
    assert (model.score(odd) <= model.threshold_).all()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"by": ""}, ValueError, "by of PatchCore.accept must be the name of who"),
        ({"by": None}, TypeError, "by of PatchCore.accept must be a text"),
        ({"by": "A", "sha256": "ab"}, TypeError, "sha256 .* a list of texts"),
        ({"by": "A", "sha256": ["a"]}, ValueError, "one for each of 3 images"),
        ({"by": "A", "model": 3}, TypeError, "model of PatchCore.accept must be"),
    ],
)
def test_wrong_arguments_are_said(model, odd, given, error, text):
    state = dict(model.__dict__)
    with pytest.raises(error, match=text):
        model.accept(odd, **given)
    assert model.__dict__ == state


def test_what_cannot_be_accepted_is_said(model, good, others, odd):
    with pytest.raises(ValueError, match="got 6 of which none does: they pass"):
        model.accept(good, by="A")
    with pytest.raises(NotFittedError, match="no threshold yet"):
        learned(good).accept(odd, by="A")
    weighted = learned(good, aggregation="reweighted")
    weighted.calibrate(others, false_positive_rate=0.2)
    with pytest.raises(ValueError, match=r"aggregation .* raise no score; got 'rewei"):
        weighted.accept(odd, by="A")


@pytest.fixture(scope="module")
def accepted(good, others, odd):
    """What a model file with an acceptance holds."""
    model = learned(good).calibrate(others, false_positive_rate=0.2)
    with TemporaryDirectory() as folder:
        path = Path(folder, "part.adlib")
        model.accept(odd, by="A. Meier").save(path)
        return read_model(path)


@pytest.mark.parametrize(
    ("inner", "name", "value"),
    [
        (False, "by", 1),
        (False, "images", [["a"]]),
        (False, "images", 3),
        (False, "n_entries", "1"),
        (False, "before", {}),
        (False, "extra", 1),
        (True, "n_images", 9),
        (True, "n_images", 3),
        (True, "n_entries", 10**6),
        (True, "n_patches", 1),
        (True, "covering_radius", -1.0),
        (True, "calibration", {}),
    ],
)
def test_forged_records_are_refused(accepted, tmp_path, inner, name, value):
    path = tmp_path / "part.adlib"
    header = json.loads(json.dumps(accepted.header))
    (saved,) = header["state"]["accepted"]
    (saved["before"] if inner else saved)[name] = value
    write_model(path, accepted._replace(header=header))
    with pytest.raises(ModelFileError, match="damaged"):
        adlib.load(path)
