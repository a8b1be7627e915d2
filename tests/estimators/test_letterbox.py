"""Images that keep their aspect ratio, and maps that lie over them."""

from __future__ import annotations

import numpy as np
import pytest

import adlib
from adlib import PatchCore
from adlib.images._pixels import Box, letterbox, resize
from tests.conftest import texture

SMALL = {"image_size": 64, "backbone": "test_byobnet", "weights": None, "coreset": 0.4}
SMALL |= {"progress": False, "device": "cpu", "resize": "letterbox"}


def wide(seed, height=32, width=128):
    return texture(seed, width)[:height]


@pytest.fixture(scope="module")
def good():
    return [wide(seed) for seed in range(6)]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((48, 128), (20, 0, 24, 64)),
        ((128, 48), (0, 20, 64, 24)),
        ((64, 64), (0, 0, 64, 64)),
        ((100, 101), (0, 0, 63, 64)),
        ((1, 500), (31, 0, 1, 64)),
    ],
)
def test_boxes_lie_in_the_middle(size, wanted):
    box = Box.of(size, (64, 64))
    assert box == wanted
    assert 0 <= box.top <= 64 - box.top - box.height <= box.top + 1
    assert 0 <= box.left <= 64 - box.left - box.width <= box.left + 1


@pytest.mark.parametrize("shape", [(48, 128), (128, 48, 3)])
def test_an_image_is_resized_into_its_box(shape):
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
    box = Box.of(shape[:2], (64, 64))
    inner = resize(pixels, (box.height, box.width))
    for edge in (True, False):
        found = letterbox(pixels, (64, 64), edge=edge)
        for row in range(64):
            for column in range(64):
                r, c = row - box.top, column - box.left
                near = np.clip(r, 0, box.height - 1), np.clip(c, 0, box.width - 1)
                wanted = inner[near] if edge or near == (r, c) else 0 * inner[near]
                np.testing.assert_array_equal(found[row, column], wanted)


def test_patches_around_the_image_count_for_nothing(good):
    model = PatchCore(**SMALL).fit(good)
    assert model.n_patches_ == 6 * 16  # 2 of 8 rows of 8
    assert set(model.memory_bank_.origins[:, 1].tolist()) == {3, 4}
    around = model.anomaly_maps(good)
    assert around.shape == (6, 64, 64)
    assert not around[:, :24].any()
    assert not around[:, 40:].any()
    assert (around[:, 24:40] > 0).any()


def test_maps_lie_over_their_images(good):
    seeing = {"backbone": "tf_efficientnet_lite0", "weights": "pretrained"}
    model = PatchCore(**SMALL | seeing).fit(good)
    odd = wide(50).copy()
    odd[10:20, 100:112] = 255
    mixed = [odd, texture(60, 128), odd.T.copy()]
    boxed = model.anomaly_maps(mixed)
    whole = model.anomaly_maps(mixed, "original")
    for i, result in enumerate(model.inspect(mixed)):
        assert result.size == mixed[i].shape
        box = Box.of(mixed[i].shape, (64, 64))
        np.testing.assert_array_equal(result.map, box.cut(boxed[i]))
        assert whole[i].shape == mixed[i].shape
        np.testing.assert_array_equal(whole[i], result.full_map())
    first = next(model.inspect(mixed))
    row, column = first.worst_pixel
    assert 2 <= row < 28
    assert 90 <= column < 122
    model.pixel_threshold_ = 0.7 * float(first.map.max())
    (region, *_) = next(model.inspect(mixed)).regions
    assert region.box[0] < 15 < region.box[2] <= 32
    assert region.box[1] < 106 < region.box[3] <= 128


def test_a_region_lies_in_the_image(good, tmp_path):
    mask = np.zeros((32, 128), np.bool_)
    mask[:, :64] = True
    model = PatchCore(**SMALL, region=mask).fit(good)
    assert set(model.memory_bank_.origins[:, 2].tolist()) <= {0, 1, 2, 3}
    assert model.n_patches_ == 6 * 8
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    np.testing.assert_array_equal(loaded.anomaly_maps(good), model.anomaly_maps(good))


def test_it_is_kept_and_checked(good, tmp_path):
    model = PatchCore(**SMALL).fit(good)
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    assert loaded.region_ is None
    with pytest.raises(ValueError, match="resize of PatchCore must be 'letterbox'"):
        loaded.set_params(resize="stretch").score(good)
    with pytest.raises(
        ValueError, match=r"resize of the detector .* must be 'stretch'"
    ):
        model.export(tmp_path / "part.onnx")
    with pytest.raises(ValueError, match="one of 'stretch', 'letterbox'"):
        PatchCore(resize="crop").fit(good)


def test_square_images_are_as_ever(good):
    square = [texture(seed, 64) for seed in range(6)]
    boxed = PatchCore(**SMALL).fit(square)
    plain = PatchCore(**SMALL).set_params(resize="stretch").fit(square)
    np.testing.assert_array_equal(boxed.score(square), plain.score(square))
    np.testing.assert_allclose(
        boxed.anomaly_maps(square), plain.anomaly_maps(square), rtol=1e-6
    )
