"""Images are forgotten on request: nothing of them stays in the model or its file."""

from __future__ import annotations

import numpy as np
import pytest

import adlib
from adlib import PaDiM, PatchCore
from adlib.cli import main
from tests.conftest import texture


def learned(X, **parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen).fit(X)


@pytest.fixture
def files(folder):
    return [str(file) for file in sorted(folder.iterdir())]


def test_entries_names_and_thresholds_go_and_others_stay(files):
    model = learned(files, false_positive_rate=0.3)
    before, names = model.memory_bank_, model.training_images_
    model.forget(files[1:3])
    stays = ~np.isin(before.origins[:, 0], [1, 2])
    bank = model.memory_bank_
    np.testing.assert_array_equal(bank.embeddings, before.embeddings[stays])
    assert model.training_images_ == [names[0], *names[3:]]
    then = [names[image] for image in before.origins[stays, 0]]
    assert [model.training_images_[image] for image in bank.origins[:, 0]] == then
    np.testing.assert_array_equal(bank.origins[:, 1:], before.origins[stays, 1:])
    assert model.threshold_ is model.calibration_ is model.left_out_scores_ is None
    assert model.examination_ is None
    left_out = model.leave_one_out_scores([files[0], *files[3:]])
    assert len(left_out) == 4


def test_a_saved_file_holds_nothing_of_them(files, tmp_path):
    model = learned(files, false_positive_rate=0.3)
    bank = model.memory_bank_
    secret = [files[2].encode(), model.training_digests_[2].encode()]
    secret += [row.tobytes() for row in bank.embeddings[bank.origins[:, 0] == 2]]
    secret.append(repr(float(model.left_out_scores_[2])).encode())
    path = tmp_path / "part.adlib"
    model.save(path)
    held = path.read_bytes()
    assert all(one in held for one in secret)
    model.forget([files[2]]).save(path)
    held = path.read_bytes()
    assert not any(one in held for one in secret)
    assert adlib.load(path).training_images_ == model.training_images_


def test_the_bound_of_the_radius_holds_without_them(good):
    model = learned(good, aggregation="max", coreset=0.05)
    before = model.covering_radius_
    model.forget(["image 0", "image 4"])
    assert model.score(good[[1, 2, 3, 5]]).max() <= model.covering_radius_
    assert model.covering_radius_ > before


def test_copies_under_other_names_go_too(good):
    model = learned(np.concatenate([good, good[1:2]]))
    model.partial_fit(good[2:4] // 2)  # numbered from 0 again
    assert model.training_images_.count("image 0") == 2
    model.forget(["image 1"])
    left = ["image 0", *(f"image {number}" for number in range(2, 6)), "image 0"]
    assert model.training_images_ == left


def test_what_cannot_be_forgotten_is_said_and_changes_nothing(good):
    model = learned(good, aggregation="reweighted", n_neighbors=2, coreset=10)
    state = dict(model.__dict__)
    everyone = model.training_images_
    for names, error, text in (
        (["image 9"], ValueError, "got 'image 9', of which nothing is stored"),
        (["a", "b"], ValueError, "got 'a', .*, and 1 more such.*'image 0'"),
        ([], ValueError, "a list of at least one name"),
        ("image 1", TypeError, "Pass a list"),
        ([1], TypeError, "names of PatchCore.forget must be"),
        (everyone, ValueError, "2 or more entries of other images"),
    ):
        with pytest.raises(error, match=text):
            model.forget(names)
        assert model.__dict__ == state


def test_skipped_images_and_streams_are_forgotten(good, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.warns(adlib.exceptions.SkippedImagesWarning):
        model = learned([bad, *good], on_error="skip", coreset=40)
    model.partial_fit([texture(seed) for seed in range(70, 73)])
    model.forget([bad, model.training_images_[0]])
    assert not model.skipped_
    assert len(model.memory_bank_) < 40
    model.partial_fit(good[:2])
    assert len(model.memory_bank_) == 40


def test_the_command_writes_another_file(files, tmp_path, capsys):
    path, new = tmp_path / "part.adlib", tmp_path / "new.adlib"
    learned(files).save(path)
    assert main(["forget", str(path), files[0], "-o", str(new)]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "5 of 6 images" in text
    assert files[0].encode() not in new.read_bytes()
    assert main(["forget", str(path), "x.png", "-o", str(new)]) == 1
    assert "of which nothing is stored" in capsys.readouterr().err


def test_padim_cannot(files, tmp_path, capsys):
    PaDiM(image_size=64, progress=False).fit(files).save(tmp_path / "part.adlib")
    path = str(tmp_path / "part.adlib")
    assert main(["forget", path, files[0], "-o", path]) == 1
    text = " ".join(capsys.readouterr().err.split())
    assert "a PaDiM cannot forget: fit it again without them" in text
