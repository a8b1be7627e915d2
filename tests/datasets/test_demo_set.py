"""The demo set is whole, the same everywhere, and true to its masks."""

from __future__ import annotations

import csv
import shutil
import sys
import tracemalloc
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from skimage import data

from adlib.datasets import (
    NORMAL,
    _demo_parts,
    _demo_set,
    demo_root,
    read_mask,
    read_samples,
)
from adlib.datasets._demo_pictures import (
    SIDES,
    TEST_COLUMNS,
    TRAINING_COLUMNS,
    TURN,
    load_textures,
)
from adlib.datasets._demo_set import (
    CLASSES,
    FOLDER,
    KINDS,
    flawed_image,
    normal_image,
)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The demo set; tests must not change it."""
    return demo_root(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def copy(root, tmp_path):
    return shutil.copytree(root, tmp_path / FOLDER)


@pytest.fixture
def few(monkeypatch):
    """Make quick builds: one class of a few images."""
    monkeypatch.setattr(_demo_set, "CLASSES", ("brick",))
    monkeypatch.setattr(_demo_set, "KINDS", ("crack",))
    monkeypatch.setattr(_demo_set, "N_TRAINING", 2)
    monkeypatch.setattr(_demo_set, "N_GOOD", 1)
    monkeypatch.setattr(_demo_set, "N_DEFECTS", 1)
    monkeypatch.setattr(_demo_set, "N_FILES", 5)


@pytest.fixture
def no_build(monkeypatch):
    def refuse(root):
        raise AssertionError(root)

    monkeypatch.setattr(_demo_set, "_build", refuse)


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_it_is_read_as_mvtec_ad(root):
    samples = read_samples(root)
    counts = Counter((s.class_name, s.split, s.defect_type) for s in samples)
    expected = {}
    for name in CLASSES:
        expected[name, "train", "good"] = 40
        expected[name, "test", "good"] = 12
        expected |= {(name, "test", kind): 6 for kind in KINDS}
    assert counts == expected


def test_each_flawed_image_has_a_mask_of_two_values(root):
    for sample in read_samples(root):
        if sample.label == NORMAL:
            assert sample.mask_path is None
            continue
        with Image.open(sample.image_path) as image, Image.open(sample.mask_path) as m:
            assert (image.mode, m.mode) == ("RGB", "L")
            assert image.size == m.size == (192, 192)
            assert set(np.unique(np.asarray(m))) == {0, 255}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_flawed_image_equals_its_twin_outside_of_its_mask(root, name, kind):
    textures = load_textures()
    for i in range(6):
        flawed = flawed_image(textures, name, kind, i)
        changed = (flawed.image != flawed.clean).any(axis=2)
        assert not changed[~flawed.mask].any()
        assert changed[flawed.mask].mean() > 0.9
        file = root / name / "test" / kind / f"{i:03d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(file)), flawed.image)
        mask = root / name / "ground_truth" / kind / f"{i:03d}_mask.png"
        np.testing.assert_array_equal(read_mask(mask), flawed.mask)


def test_no_two_images_are_the_same(root):
    images = [sample.image_path.read_bytes() for sample in read_samples(root)]
    assert len(set(images)) == len(images)


@pytest.mark.slow
def test_a_second_build_writes_the_same_bytes(root, tmp_path):
    again = demo_root(tmp_path / "new" / "folder")
    assert contents(again) == contents(root)
    assert [p.name for p in again.parent.iterdir()] == [FOLDER]


def test_training_images_see_none_of_the_pixels_to_test_with(monkeypatch):
    assert TRAINING_COLUMNS.stop + 16 <= TEST_COLUMNS.start
    before = load_textures()["brick"]
    blackened = data.brick().copy()
    blackened[:, TRAINING_COLUMNS.stop :] = 0
    monkeypatch.setattr(data, "brick", lambda: blackened)
    after = load_textures()["brick"]
    np.testing.assert_array_equal(
        normal_image(before, "train", 0), normal_image(after, "train", 0)
    )
    assert (normal_image(before, "test", 0) != normal_image(after, "test", 0)).any()


def test_the_largest_square_fits_where_it_is_cut():
    turned = np.cos(np.radians(TURN)) + np.sin(np.radians(TURN))
    assert SIDES[1] * turned < TEST_COLUMNS.stop - TEST_COLUMNS.start - 1


def test_a_set_that_is_there_is_not_made_again(root, no_build):
    assert demo_root(root.parent) == root


def test_a_chosen_cache_folder_is_the_default(root, no_build, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(root.parent))
    assert demo_root() == root


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have no XDG")
def test_the_platforms_own_folder_comes_next(root, no_build, monkeypatch, tmp_path):
    monkeypatch.delenv("ADLIB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "adlib").symlink_to(root.parent)
    assert demo_root() == tmp_path / "adlib" / FOLDER


@pytest.mark.usefixtures("few")
def test_a_damaged_set_is_made_anew_and_nothing_else_is_touched(tmp_path):
    beside = tmp_path / "mine.txt"
    beside.write_text("kept")
    root = demo_root(tmp_path)
    whole = contents(root)
    (root / "brick" / "train" / "good" / "000.png").unlink()
    assert contents(demo_root(tmp_path)) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == [FOLDER, "mine.txt"]
    assert beside.read_text() == "kept"


@pytest.mark.usefixtures("few")
def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo_set, "flawed_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo_root(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few")
def test_the_slower_of_two_builders_keeps_what_the_quicker_one_made(
    tmp_path, monkeypatch
):
    build = _demo_set._build

    def build_while_another_does(root):
        monkeypatch.setattr(_demo_set, "_build", build)
        demo_root(tmp_path)
        (tmp_path / FOLDER / "first").touch()
        build(root)

    monkeypatch.setattr(_demo_set, "_build", build_while_another_does)
    assert (demo_root(tmp_path) / "first").exists()
    assert [p.name for p in tmp_path.iterdir()] == [FOLDER]


def test_a_folder_that_adlib_did_not_make_is_left_alone(tmp_path, no_build):
    file = tmp_path / FOLDER / "mine.txt"
    file.parent.mkdir()
    file.write_text("kept")
    with pytest.raises(FileExistsError, match="is not a demo set that adlib made"):
        demo_root(tmp_path)
    assert file.read_text() == "kept"


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"scikit-image.*adlib-vision\[study\]"):
        demo_root(tmp_path)
    assert not list(tmp_path.iterdir())


@contextmanager
def few_plates():
    """Make quick builds: two plates of a class to train with, one to test with."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_demo_set, "KINDS", ("crack",))
        monkeypatch.setattr(_demo_set, "N_PLATES", 2)
        monkeypatch.setattr(_demo_set, "N_GOOD_PLATES", 1)
        monkeypatch.setattr(_demo_set, "N_DEFECTS", 2)
        yield


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """A small set of plates; tests must not change it."""
    with few_plates():
        return demo_root(tmp_path_factory.mktemp("plates"), size=1024)


@pytest.mark.slow
def test_plates_come_with_a_table_that_the_masks_bear_out(plates):
    root = plates
    with few_plates():
        assert demo_root(root.parent, size=1024) == root
    samples = read_samples(root)
    counts = Counter((s.class_name, s.split, s.defect_type) for s in samples)
    for name in ("aligned", "turned"):
        assert counts[name, "train", "good"] == 2
        assert counts[name, "test", "good"] == 1
        assert counts[name, "test", "crack"] == 2
    with (root / "defects.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["class"], row["image"]): row for row in csv.DictReader(file)}
    flawed = [sample for sample in samples if sample.label != NORMAL]
    assert len(rows) == len(flawed) == 4
    for sample in flawed:
        image = sample.image_path.relative_to(root / sample.class_name).as_posix()
        row, mask = rows[sample.class_name, image], read_mask(sample.mask_path)
        down, right = np.nonzero(mask)
        assert mask.shape == (1024, 1024)
        assert int(row["area_px"]) == mask.sum()
        assert (int(row["top"]), int(row["left"])) == (down.min(), right.min())
        assert (int(row["bottom"]), int(row["right"])) == (
            down.max() + 1,
            right.max() + 1,
        )
        assert int(row["size_px"]) == max(np.ptp(down), np.ptp(right)) + 1


@pytest.mark.slow
def test_a_second_build_of_plates_writes_the_same_bytes(plates, tmp_path):
    with few_plates():
        again = demo_root(tmp_path, size=1024)
    assert contents(again) == contents(plates)


# The smallest defect and the largest; those between them are slow tests.
INDICES = [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 5)), 5]


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_flawed_plate_equals_its_twin_outside_of_its_mask(kind, index):
    wanted = _demo_parts.SIZES[index]
    flawed = _demo_parts.flawed_plate(1024, "turned", kind, index)
    changed = flawed.image != flawed.clean
    assert not changed[~flawed.mask].any()
    assert changed[flawed.mask].mean() > 0.6
    assert abs(_demo_parts.extent(flawed.mask) - wanted) <= 1 + 0.1 * wanted


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES)
def test_a_defect_lies_on_the_plate(index):
    rng = _demo_parts.plate_generator("turned", "hole", index)
    depth = _demo_parts.plate(1024, "turned", rng).depth
    flawed = _demo_parts.flawed_plate(1024, "turned", "hole", index)
    assert depth[flawed.mask].min() > 0


@pytest.mark.slow
def test_aligned_plates_overlap_and_turned_ones_do_not():
    shares = {}
    for name in ("aligned", "turned"):
        first, second = (
            _demo_parts.plate(1024, name, _demo_parts.plate_generator(name, "train", i))
            for i in range(2)
        )
        shares[name] = ((first.depth > 0) != (second.depth > 0)).mean()
    assert shares["aligned"] < 0.02
    assert shares["turned"] > 0.1


def test_a_plate_takes_memory_in_proportion_to_its_pixels():
    tracemalloc.start()
    _demo_parts.flawed_plate(1024, "turned", "stain", 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 1024**2  # 450 MB of 2048 x 2048


@pytest.mark.parametrize("size", [100, 1023, 8193])
def test_sizes_that_plates_cannot_have_are_refused(size, tmp_path):
    with pytest.raises(ValueError, match=r"size of demo_root must be an integer in"):
        demo_root(tmp_path, size=size)
