"""Pictures of training images to look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from adlib import PaDiM, PatchCore
from adlib._html import ORANGE
from adlib.estimators import Examination
from adlib.estimators._examination import StandOut
from adlib.overlays import _examined, save_examined
from tests.conftest import scratched, texture


@pytest.fixture(scope="module")
def images():
    """Ten good images, a scratched one, and nearly a copy of the fourth."""
    good = [texture(seed) for seed in range(100, 110)]
    return np.stack([*good, scratched(7), good[3] // 4 * 4])


@pytest.fixture(scope="module")
def model(images):
    return PatchCore(image_size=64, coreset=0.2, progress=False).fit(images)


def orange(picture):
    """Return (rows, columns) of the pixels of the boxes."""
    colour = ImageColor.getrgb(ORANGE)
    return np.nonzero((np.asarray(picture) == colour).all(axis=2))


def test_both_patches_are_marked_side_by_side(model, images, tmp_path):
    found = model.examine(images)
    saved = save_examined(model, images, tmp_path / "look")
    assert [path.name for path in saved] == [
        "stands_out_001.png",
        "nearly_the_same_001.png",
    ]
    (one,) = found.stand_out
    picture = Image.open(saved[0])
    assert picture.size == (2 * 480 + 4, 520)
    rows, columns = orange(picture)
    for left, patch in ((0, one.patch), (484, one.compared_patch)):
        inside = (columns >= left) & (columns < left + 480)
        middle = [60 * (place + 0.5) for place in patch]  # of 8 x 8 patches
        box = rows[inside], columns[inside] - left
        for places, centre in zip(box, middle, strict=True):
            assert places.min() == max(centre - 150, 0)
            assert places.max() == min(centre + 150, 479)
    (pair,) = found.near_duplicates
    assert pair.positions == (3, 11)
    twins = np.asarray(Image.open(saved[1]), int)[:480, :, 0]
    assert np.abs(twins[:, :480] - twins[:, 484:]).max() <= 6


def test_an_examination_given_is_not_made_again(model, images, tmp_path):
    found = replace(model.examine(images), stand_out=())
    saved = save_examined(model, images, tmp_path, examination=found)
    assert [path.name for path in saved] == ["nearly_the_same_001.png"]
    with pytest.raises(ValueError, match="X of save_examined must be the training"):
        save_examined(model, images[:5], tmp_path, examination=found)


def test_padims_pictures_show_the_image_alone(images, tmp_path):
    padim = PaDiM(image_size=64, progress=False).fit(images[:11])
    (path,) = save_examined(padim, images[:11], tmp_path)
    picture = Image.open(path)
    assert picture.size == (480, 520)
    assert len(orange(picture)[0])


def test_pictures_do_not_go_among_the_images(model, images, tmp_path):
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    with pytest.raises(ValueError, match="outside of those that hold the images"):
        save_examined(model, tmp_path, tmp_path / "look")
    with pytest.raises(TypeError, match="model of save_examined must be"):
        save_examined(tmp_path, images, tmp_path)


def test_boxes_lie_in_letterboxed_images_where_their_patches_are():
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 128), dtype=np.uint8)
    model = PatchCore(image_size=128, resize="letterbox", progress=False).fit(images)
    assert model.grid_ == (16, 16)  # of which rows 4 to 11 lie in the image
    shown = Image.new("RGB", (512, 256))  # 32 pixels for a patch
    _examined._mark(shown, (8, 5), np.eye(2, 3), model)
    rows, columns = orange(shown)
    assert (rows.min(), rows.max()) == (32 * 2, 32 * 7)
    assert (columns.min(), columns.max()) == (32 * 3, 32 * 8)


def test_boxes_lie_where_the_part_of_an_image_to_align_lies(tmp_path):
    pytest.importorskip("cv2", reason="the extra align is not installed")
    plate = np.full((96, 96), 50, np.uint8)
    plate[20:76, 20:76] = texture(0)[:56, :56] // 2 + 100
    images = np.stack([plate, np.roll(plate, (6, -8), (0, 1)), plate])
    model = PatchCore(image_size=96, coreset=0.5, align=plate, progress=False)
    model.fit(images)
    one = StandOut("image", 0, 1.0, (6, 5), 1.0)
    both = one, replace(one, position=1)
    found = Examination(both, 0.5, (), model.grid_)
    boxes = [
        orange(Image.open(path))
        for path in save_examined(model, images, tmp_path, examination=found)
    ]
    moves = [
        np.median(there) - np.median(here) for here, there in zip(*boxes, strict=True)
    ]
    np.testing.assert_allclose(moves, (6 * 5, -8 * 5), atol=2)  # 480 pixels of 96
