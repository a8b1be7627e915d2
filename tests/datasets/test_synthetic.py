"""Synthetic defects have the size, contrast and place that they are asked for."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from adlib.datasets import draw_defect
from adlib.datasets._synthetic import SyntheticKind
from tests.conftest import texture

KINDS = get_args(SyntheticKind)
FLAT = np.full((128, 96), 120, np.uint8)


def diameter(mask):
    """Return the largest distance between two pixels of a mask, plus 1."""
    places = np.argwhere(mask)
    return max(np.linalg.norm(places - one, axis=1).max() for one in places) + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [3, 8, 20, 48])
def test_the_mask_has_the_size_and_nothing_else_changes(kind, size):
    for seed in range(8):
        image, mask = draw_defect(FLAT, kind, size, 0.3, random_state=seed)
        assert (image.dtype, image.shape) == (FLAT.dtype, FLAT.shape)
        assert (image[~mask] == FLAT[~mask]).all()
        assert (image[mask] != FLAT[mask]).mean() > 0.9
        assert abs(diameter(mask) - size) <= 1.6 + 0.02 * size
        assert mask.sum() < (size + 1) ** 2


@pytest.mark.parametrize("kind", ["scratch", "spot", "stain"])
def test_the_contrast_is_a_share_of_white(kind):
    for seed in range(4):
        image, mask = draw_defect(FLAT, kind, 24, 0.2, random_state=seed)
        change = image[mask].astype(int) - 120
        assert np.abs(change).max() == pytest.approx(0.2 * 255, abs=6)
        assert np.sign(change).min() * np.sign(change).max() >= 0


def test_a_texture_keeps_the_mean_and_has_a_deviation():
    image, mask = draw_defect(FLAT, "texture", 40, 0.2)
    change = image[mask].astype(float) - 120
    assert abs(change.mean()) < 1.5
    assert change.std() == pytest.approx(0.1 * 255, rel=0.1)


@pytest.mark.parametrize(("level", "sign"), [(5, 1), (250, -1)])
def test_there_is_room_for_the_contrast(level, sign):
    for seed in range(6):
        flat = np.full((64, 64), level, np.uint8)
        image, mask = draw_defect(flat, "spot", 10, 0.3, random_state=seed)
        assert (np.sign(image[mask].astype(int) - level) == sign).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_and_colour_is_drawn_alike(kind):
    grey = texture(3, 128)
    image, mask = draw_defect(grey, kind, 21, random_state=5)
    colour = np.stack([grey] * 3, axis=2)
    deep = grey.astype(np.uint16) * 257
    share = grey.astype(np.float32) / np.float32(255)
    for other in (colour, deep, share):
        drawn, same = draw_defect(other, kind, 21, random_state=5)
        assert drawn.dtype == other.dtype
        np.testing.assert_array_equal(same, mask)
        assert (drawn[~mask] == other[~mask]).all()
        levels = drawn / (65535 if other is deep else 1 if other is share else 255)
        if other is colour:
            levels = levels[..., 0]
        np.testing.assert_allclose(levels, image / 255, atol=0.51 / 255)


def test_the_seed_is_everything_random():
    first, again, other = (
        draw_defect(FLAT, "scratch", 20, random_state=seed).mask for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_region_holds_the_middle():
    region = np.zeros(FLAT.shape, np.bool_)
    region[60:70, 30:50] = True
    for seed in range(10):
        mask = draw_defect(FLAT, "spot", 9, region=region, random_state=seed).mask
        row, column = np.argwhere(mask).mean(axis=0)
        assert 59 <= row <= 70
        assert 29 <= column <= 50


def test_of_a_part_on_an_empty_background_the_part_gets_the_defects():
    rng = np.random.default_rng(0)
    image = rng.normal(60, 0.7, (300, 300))
    image[100:220, 40:160] = rng.normal(140, 15, (120, 120))
    image = image.round().astype(np.uint8)
    places = [
        np.argwhere(draw_defect(image, "spot", 5, random_state=s).mask).mean(axis=0)
        for s in range(40)
    ]
    for row, column in places:
        assert 85 <= row <= 235
        assert 25 <= column <= 175


def test_on_an_even_texture_all_places_are_as_likely():
    image = np.random.default_rng(0).integers(60, 190, (200, 200), dtype=np.uint8)
    places = np.array(
        [
            np.argwhere(draw_defect(image, "spot", 4, random_state=s).mask).mean(axis=0)
            for s in range(200)
        ]
    )
    quarters = np.histogram2d(*places.T, bins=2, range=[[0, 200]] * 2)[0]
    assert quarters.min() > 50 - 4 * math.sqrt(50)


@pytest.mark.parametrize(
    ("change", "error", "fragment"),
    [
        ({"kind": "hole"}, ValueError, "kind of draw_defect must be one of"),
        ({"size": 0.5}, ValueError, r"size of draw_defect must be in \[1, 48\]"),
        ({"size": 49}, ValueError, r"size of draw_defect must be in \[1, 48\]"),
        ({"contrast": 0.0}, ValueError, "contrast of draw_defect must be"),
        ({"image": FLAT.astype(np.int64)}, TypeError, "image of draw_defect must be"),
        ({"image": FLAT[0]}, ValueError, "image of draw_defect must be"),
        ({"image": FLAT.astype(float)}, ValueError, r"image of draw_defect must be in"),
        ({"region": FLAT > 0.5}, None, ""),
        ({"region": FLAT < 0}, ValueError, "region of draw_defect must be bool"),
        ({"region": FLAT}, ValueError, "region of draw_defect must be bool"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, error, fragment):
    given = {"image": FLAT, "kind": "spot", "size": 9, "contrast": 0.2, **change}
    if error is None:
        assert draw_defect(**given).mask.any()
        return
    with pytest.raises(error, match=fragment):
        draw_defect(**given)
