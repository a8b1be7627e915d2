"""Overlays: clear where all is well, glowing where it is not."""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np
import pytest
from matplotlib import colormaps

from adlib.overlays import overlay


def pixels(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_an_overlay_has_the_images_size(shape):
    drawn = overlay(pixels(*shape), pixels(8, 8), 0.0, 1.0)
    assert (drawn.mode, drawn.size) == ("RGB", (30, 20))


def test_below_low_the_image_shows_through_unchanged():
    image = pixels(16, 16, 3)
    drawn = overlay(image, np.full((4, 4), 0.2, np.float32), 0.2, 1.0)
    np.testing.assert_array_equal(drawn, np.round(255 * image).astype(np.uint8))


@pytest.mark.parametrize("value", [5.0, 50.0])
def test_from_high_on_the_colour_is_the_strongest(value):
    image = pixels(16, 16)
    drawn = overlay(image, np.full((4, 4), value, np.float32), 1.0, 5.0)
    glow = np.array(colormaps["inferno"](1.0)[:3])
    wanted = np.round(255 * (0.25 * image[:, :, None] + 0.75 * glow))
    np.testing.assert_allclose(np.asarray(drawn, float), wanted, atol=1)


def test_half_way_the_blend_is_half_as_strong():
    image = np.zeros((16, 16), np.float32)
    drawn = overlay(image, np.full((2, 2), 3.0, np.float32), 1.0, 5.0)
    wanted = np.round(255 * 0.375 * np.array(colormaps["inferno"](0.5)[:3]))
    np.testing.assert_allclose(np.asarray(drawn, float) - wanted, 0, atol=1)


def test_the_glow_lies_where_the_map_is_high():
    anomaly_map = np.zeros((10, 20), np.float32)
    anomaly_map[8, 3] = 1.0
    drawn = np.asarray(overlay(np.zeros((40, 80), np.float32), anomaly_map, 0.0, 1.0))
    row, column = np.unravel_index(drawn.sum(axis=2).argmax(), (40, 80))
    assert 32 <= row < 36
    assert 12 <= column < 16


def test_a_scale_without_height_still_draws():
    image = pixels(8, 8)
    drawn = overlay(image, np.full((8, 8), 2.0, np.float32), 2.0, 2.0)
    wanted = np.repeat(np.round(255 * image)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(drawn, wanted.astype(np.uint8))


def test_inputs_stay_untouched():
    image, anomaly_map = pixels(8, 8), pixels(4, 4)
    image.setflags(write=False)
    anomaly_map.setflags(write=False)
    first = np.asarray(overlay(image, anomaly_map, 0.0, 1.0))
    np.testing.assert_array_equal(overlay(image, anomaly_map, 0.0, 1.0), first)


@pytest.mark.parametrize(
    ("room", "package"), [("overlays", "matplotlib"), ("report", "seaborn")]
)
def test_a_missing_package_is_named_with_its_extra(room, package, monkeypatch):
    for name in [one for one in sys.modules if one.startswith(f"adlib.{room}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"adlib.{room} needs the package '{package}'.*adlib-vision\[report\]"
    with pytest.raises(ImportError, match=said):
        import_module(f"adlib.{room}")


def test_a_contour_lies_around_what_is_above_low_and_nothing_else_changes():
    image = np.full((64, 64), 0.5, np.float32)
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[20:40, 10:30] = 2.0
    drawn = np.asarray(overlay(image, anomaly_map, 1.0, 2.0, contour=True))
    white, black = ((drawn == value).all(axis=2) for value in (255, 0))
    inside = np.zeros((64, 64), bool)
    inside[20:40, 10:30] = True
    assert white[inside].sum() == black[~inside].sum() - 8 == 2 * 19 * 2
    assert not white[~inside].any()
    outside = ~inside & ~black
    assert (drawn[outside] == 128).all()


def test_with_a_contour_colour_is_seen_at_once():
    image = np.zeros((64, 64), np.float32)
    faint = np.full((64, 64), 1.001, np.float32)
    drawn = np.asarray(overlay(image, faint, 1.0, 2.0, contour=True), float)
    glow = 255 * 0.25 * np.array(colormaps["inferno"](1 / 3)[:3])
    np.testing.assert_allclose(drawn - glow, 0, atol=2)
