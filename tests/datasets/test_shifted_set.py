"""The shifted set on disk: whole, the same every time, and never half-written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import (
    ShiftDomainTransform,
    ShiftSettings,
    _shifted_set,
    _torch_dataset,
    check_shifted_set,
    create_clean_split,
    generate_shifted_set,
    load_shifted_splits,
    read_mask,
    read_samples,
    save_clean_splits,
)
from adlib.exceptions import ImageError
from tests.conftest import scratched, texture

SIZE = 48


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small MVTec-layout set with one class, its defects in the middle."""
    root = tmp_path_factory.mktemp("data")
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[22:26, 6:-6] = 255
    for place, n_images in (("train/good", 6), ("test/good", 2), ("test/scratch", 3)):
        folder = root / "tile" / place
        folder.mkdir(parents=True)
        draw = scratched if place == "test/scratch" else texture
        for number in range(n_images):
            image = Image.fromarray(draw(number, SIZE))
            image.save(folder / f"{number:03}.png")
    (root / "tile/ground_truth/scratch").mkdir(parents=True)
    for number in range(3):
        path = root / f"tile/ground_truth/scratch/{number:03}_mask.png"
        Image.fromarray(mask).save(path)
    return root


@pytest.fixture
def split(data):
    return create_clean_split(read_samples(data), "tile")


def generated(split, data, place, **options):
    return generate_shifted_set(
        [split], data, place / "shifted", place / "shifted_splits.json", **options
    )


def files(place):
    """The digest of every file under a folder."""
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).digest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def test_every_image_has_its_twin_in_its_part(split, data, tmp_path):
    shifted = generated(split, data, tmp_path)["tile"]
    assert shifted.counts() == split.counts()
    images = {
        path.relative_to(tmp_path / "shifted").as_posix()
        for path in (tmp_path / "shifted").rglob("images/*")
    }
    assert len(images) == 11
    assert "tile/test/images/scratch_000_shifted.png" in images
    masks = list((tmp_path / "shifted").rglob("masks/*"))
    assert len(masks) == 3
    for sample in (*shifted.val, *shifted.test):
        with Image.open(sample.image_path) as image:
            assert (image.size, image.mode) == ((SIZE, SIZE), "L")
        if sample.mask_path is not None:
            assert set(np.unique(np.asarray(Image.open(sample.mask_path)))) == {0, 255}
            assert read_mask(sample.mask_path).sum() >= 0.5 * 4 * (SIZE - 12)
    assert (
        check_shifted_set(tmp_path / "shifted_splits.json", tmp_path / "shifted") == []
    )


def test_image_i_is_shifted_with_the_base_seed_plus_i(split, data, tmp_path):
    shifted = generated(split, data, tmp_path, random_state=7)["tile"]
    pairs = zip(
        [s for part in split.parts().values() for s in part],
        [s for part in shifted.parts().values() for s in part],
        strict=True,
    )
    record = json.loads((tmp_path / "shifted_splits.json").read_text())
    sources = record["classes"]["tile"]["sources"]
    for number, (original, twin) in enumerate(pairs):
        name = twin.image_path.relative_to(tmp_path / "shifted").as_posix()
        assert sources[name] == original.image_path.relative_to(data).as_posix()
        if number in (0, 3):
            pixels = np.asarray(Image.open(original.image_path), np.float32) / 255
            tensor, mask = (_shifted_set.torch.from_numpy(pixels[None]) for _ in "ab")
            expected, _ = ShiftDomainTransform(random_state=7).at(number)(tensor, mask)
            found = np.asarray(Image.open(twin.image_path))
            assert np.abs(found - expected[0].numpy() * 255).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_bytes_do_not_depend_on_workers(split, data, tmp_path, n_workers):
    generated(split, data, tmp_path / "a", n_workers=1)
    generated(split, data, tmp_path / "b", n_workers=n_workers)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_second_run_redoes_nothing(split, data, tmp_path, monkeypatch):
    first = generated(split, data, tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(_torch_dataset, "read_image", None)  # would fail if called
    assert generated(split, data, tmp_path) == first
    assert files(tmp_path) == before


def test_what_was_stopped_goes_on_where_it_was(split, data, tmp_path, monkeypatch):
    generated(split, data, tmp_path / "whole")
    read, decoded = _torch_dataset.read_image, []

    def failing(path):
        decoded.append(path)
        if len(decoded) == 5:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(_torch_dataset, "read_image", failing)
    with pytest.raises(KeyboardInterrupt):
        generated(split, data, tmp_path / "stopped", n_workers=1)
    assert not (tmp_path / "stopped/shifted_splits.json").exists()
    # What a kill in the middle of a write leaves behind.
    debris = tmp_path / "stopped/shifted/tile/train/images/.x.png.1234.tmp"
    debris.write_bytes(b"half")
    monkeypatch.setattr(
        _torch_dataset, "read_image", lambda p: decoded.append(p) or read(p)
    )
    generated(split, data, tmp_path / "stopped", n_workers=1)
    assert len(decoded) == 5 + 11 - 4
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_a_set_is_never_mixed_with_another(split, data, tmp_path):
    generated(split, data, tmp_path)
    before = files(tmp_path)
    for options in ({"random_state": 43}, {"settings": ShiftSettings(noise=None)}):
        with pytest.raises(FileExistsError, match="was shifted with other settings"):
            generated(split, data, tmp_path, **options)
    other = tmp_path / "other/shifted/tile"
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="files that no shifted set has"):
        generated(split, data, tmp_path / "other")
    assert {k: v for k, v in files(tmp_path).items() if "other" not in k} == before
    assert (other / "notes.txt").read_text() == "mine"


def test_the_originals_are_not_touched(split, data, tmp_path):
    before = files(data)
    generated(split, data, tmp_path)
    assert files(data) == before


def test_the_record_is_read_back_wherever_the_set_lies(split, data, tmp_path):
    settings = ShiftSettings(blur=None)
    shifted = generated(split, data, tmp_path, settings=settings)
    record = tmp_path / "shifted_splits.json"
    assert load_shifted_splits(record, tmp_path / "shifted") == shifted
    assert str(tmp_path) not in record.read_text()
    (tmp_path / "shifted").rename(tmp_path / "moved")
    loaded = load_shifted_splits(record, tmp_path / "moved")["tile"]
    assert loaded.counts() == shifted["tile"].counts()
    kept = json.loads(record.read_text())["classes"]["tile"]["settings"]
    assert ShiftSettings(**kept) == settings
    with pytest.raises(FileNotFoundError, match="is not there"):
        load_shifted_splits(record, tmp_path / "shifted")


def test_a_record_of_other_things_is_refused(split, data, tmp_path):
    save_clean_splits(tmp_path / "clean_splits.json", [split], data)
    for read in (load_shifted_splits, check_shifted_set):
        with pytest.raises(ValueError, match="class 'tile' has no 'sha256'"):
            read(tmp_path / "clean_splits.json", data)


def test_another_class_joins_the_record(split, data, tmp_path):
    generated(split, data, tmp_path)
    bricks = [dataclasses.replace(s, class_name="brick") for s in read_samples(data)]
    other = create_clean_split(bricks, "brick")
    generate_shifted_set(
        [other], data, tmp_path / "shifted", tmp_path / "shifted_splits.json"
    )
    loaded = load_shifted_splits(tmp_path / "shifted_splits.json", tmp_path / "shifted")
    assert list(loaded) == ["brick", "tile"]


def test_images_of_one_name_get_names_of_their_own(data, tmp_path):
    twin = data / "tile/test/scratch/000.bmp"
    Image.open(data / "tile/test/scratch/000.png").save(twin)
    try:
        split = create_clean_split(read_samples(data), "tile")
        shifted = generated(split, data, tmp_path)["tile"]
    finally:
        twin.unlink()
    paths = [s.image_path for part in shifted.parts().values() for s in part]
    assert len(set(paths)) == 12
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda image, mask: image.unlink(), "is missing"),
        (lambda image, mask: image.write_bytes(mask.read_bytes()), "was changed"),
        (lambda image, mask: mask.unlink(), "is missing"),
        (lambda image, mask: (image.parent / "x.png").touch(), "not in the record"),
    ],
)
def test_a_damaged_set_says_what_is_wrong(split, data, tmp_path, damage, message):
    shifted = generated(split, data, tmp_path)["tile"]
    record = tmp_path / "shifted_splits.json"
    sample = next(s for s in shifted.test if s.mask_path)
    damage(sample.image_path, sample.mask_path)
    [problem] = check_shifted_set(record, tmp_path / "shifted")
    assert message in problem


def test_a_mask_that_does_not_fit_its_image_is_refused(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "data")
    for path in (copy / "tile/ground_truth/scratch").iterdir():
        Image.fromarray(np.full((9, 9), 255, np.uint8)).save(path)
    split = create_clean_split(read_samples(copy), "tile")
    with pytest.raises(ImageError, match="must be as large as its image"):
        generated(split, copy, tmp_path)


def test_no_worker_is_refused(split, data, tmp_path):
    with pytest.raises(ValueError, match="n_workers of generate_shifted_set must be"):
        generated(split, data, tmp_path, n_workers=0)


def test_a_defect_that_no_pose_keeps_in_sight_is_an_error(
    split, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(_shifted_set, "KEPT", 99.0)  # no crop enlarges it so far
    with pytest.raises(ValueError, match="No pose of 20 keeps"):
        generated(split, data, tmp_path)
    assert not (tmp_path / "shifted_splits.json").exists()


def test_a_pose_that_hides_a_defect_is_drawn_again(split, data, tmp_path):
    settings = ShiftSettings(rotation=(-90, 90), translation=(-0.5, 0.5))
    shifted = generated(split, data, tmp_path, settings=settings)["tile"]
    masks = [s.mask_path for part in shifted.parts().values() for s in part]
    kept = [read_mask(mask).sum() / (4 * (SIZE - 12)) for mask in masks if mask]
    assert len(kept) == 3
    assert min(kept) >= 0.5


@pytest.mark.slow
def test_albumentations_writes_the_same_files_again(split, data, tmp_path):
    pytest.importorskip("albumentations")
    settings = ShiftSettings(backend="albumentations")
    written = []
    for name, n_workers in (("one", 1), ("two", 2)):
        place = tmp_path / name
        generated(split, data, place, settings=settings, n_workers=n_workers)
        files = sorted((place / "shifted").rglob("*.png"))
        written.append({p.relative_to(place): p.read_bytes() for p in files})
    assert len(written[0]) == 14
    assert written[0] == written[1]
    one = tmp_path / "one"
    assert check_shifted_set(one / "shifted_splits.json", one / "shifted") == []
