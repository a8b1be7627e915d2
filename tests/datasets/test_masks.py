"""A mask says which pixels are anomalous, however its publisher stored it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import read_mask
from adlib.exceptions import ImageError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "mvtec_ad"


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).save(path)
    return path


def test_every_value_but_zero_is_anomalous(tmp_path):
    path = save(tmp_path / "mask.png", [[0, 1, 255], [3, 0, 0]])
    mask = read_mask(path)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, True, True], [True, False, False]]


def test_any_channel_of_a_colour_mask_counts(tmp_path):
    path = save(tmp_path / "mask.png", [[[0, 0, 0], [0, 7, 0]]])
    assert read_mask(path).tolist() == [[False, True]]


def test_the_masks_of_a_folder_count_together(tmp_path):
    save(tmp_path / "000" / "000.png", [[255, 0, 0]])
    save(tmp_path / "000" / "001.png", [[0, 0, 9]])
    assert read_mask(tmp_path / "000").tolist() == [[True, False, True]]


def test_masks_of_several_sizes_are_refused(tmp_path):
    save(tmp_path / "000" / "000.png", [[255, 0]])
    save(tmp_path / "000" / "001.png", [[0, 0, 9]])
    with pytest.raises(ImageError, match=r"must hold masks of one size; it holds 1x2,"):
        read_mask(tmp_path / "000")


def test_a_folder_without_masks_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "000").mkdir()
    with pytest.raises(ImageError, match="it holds none"):
        read_mask(tmp_path / "000")
    with pytest.raises(ImageError, match="must be a readable image"):
        read_mask(tmp_path / "none.png")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real data of ../shared/data")
@pytest.mark.parametrize("quality", [75, 90, 100])
def test_what_jpeg_does_to_real_masks_is_undone(quality, tmp_path):
    files = sorted((SHARED / "screw" / "ground_truth").rglob("*.png"))[::10]
    for file in files:
        with Image.open(file) as image:
            drawn = np.asarray(image) != 0
            image.save(tmp_path / "mask.jpg", quality=quality)
        with Image.open(tmp_path / "mask.jpg") as image:
            assert (np.asarray(image) != 0).sum() > drawn.sum()
            image.save(tmp_path / "mask.png")
        for mask in (file, tmp_path / "mask.jpg", tmp_path / "mask.png"):
            assert np.array_equal(read_mask(mask), drawn)
