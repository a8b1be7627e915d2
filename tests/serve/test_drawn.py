"""Pictures for browsers, and the cache that keeps them within a limit."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from adlib.exceptions import ImageError
from adlib.serve._cache import Cache
from adlib.serve._drawn import CLOSE_SIDE, as_glow, as_jpeg, close_up, decoded
from tests.serve.conftest import png

KEY = "ab" * 32


def opened(content):
    return Image.open(io.BytesIO(content))


def test_a_map_is_clear_where_it_is_low_and_covers_where_it_is_high():
    values = np.linspace(0.0, 3.0, 64, dtype=np.float32).reshape(8, 8)
    opacity = np.asarray(opened(as_glow(values, 2.0, outline=False)).convert("RGBA"))[
        ..., 3
    ]
    assert (np.diff(opacity.ravel().astype(int)) >= 0).all()
    assert opacity[0, 0] == 0
    assert opacity[-1, -1] > 220


def test_an_outline_runs_inside_of_what_lies_above_the_threshold():
    values = np.zeros((9, 9), np.float32)
    values[2:7, 3:8] = 2.0
    drawn = np.asarray(opened(as_glow(values, 1.0, outline=True)).convert("RGBA"))
    white = (drawn == 255).all(axis=-1)
    expected = np.zeros((9, 9), bool)
    expected[2:7, 3:8] = True
    expected[3:6, 4:7] = False
    np.testing.assert_array_equal(white, expected)


@pytest.mark.parametrize("limit", [None, 0.0, 2.0])
def test_a_map_of_zeros_is_clear(limit):
    drawn = opened(as_glow(np.zeros((4, 4), np.float32), limit, outline=True))
    assert drawn.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_a_close_up_has_its_place_in_the_middle_even_at_a_corner():
    pixels = np.zeros((96, 120), np.uint8)
    for row, column in ((0, 0), (95, 119), (40, 60)):
        marked = pixels.copy()
        marked[row, column] = 255
        found = np.asarray(opened(close_up(marked, row, column)))
        assert found.shape == (CLOSE_SIDE, CLOSE_SIDE)
        edge = row in (0, 95)  # beyond it the edge is repeated, which is bright too
        middle = found[CLOSE_SIDE // 2 + 8, CLOSE_SIDE // 2 + 8]
        assert middle > 150 or edge
        assert found[CLOSE_SIDE // 2 + 8].max() > 150


def test_images_of_any_depth_and_colour_become_jpegs_of_bounded_size():
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 4096, (40, 60)).astype(np.uint16)
    for pixels in (deep, deep.astype(np.uint8), np.zeros((40, 60, 3), np.uint8)):
        found = opened(as_jpeg(decoded(png(pixels), "x.png"), 30))
        assert found.size == (30, 20)
    assert decoded(png(deep), "x.png").max() == 255


def test_what_is_no_image_is_refused():
    with pytest.raises(ImageError):
        decoded(b"no image", "x.png")


def test_the_cache_keeps_what_is_new_and_deletes_the_oldest(tmp_path):
    cache = Cache(tmp_path / "a" / "b", n_bytes=1000)
    assert cache.get(KEY) is None
    for number in range(30):
        name = f"{KEY}-{number}.jpg"
        assert cache.put(name, b"x" * 100) == b"x" * 100
        os.utime(tmp_path / "a" / "b" / name, ns=(number, number))
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert sum(file.stat().st_size for file in files) <= 1000
    assert cache.get(f"{KEY}-29.jpg") == b"x" * 100
    assert cache.get(f"{KEY}-0.jpg") is None
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../x", f"../{KEY}", "x.jpg", f"{KEY}/../../x", ""])
def test_no_name_leads_out_of_the_cache(tmp_path, name):
    cache = Cache(tmp_path / "cache")
    for use in (cache.get, lambda one: cache.put(one, b"x")):
        with pytest.raises(ValueError, match="SHA-256"):
            use(name)
    assert [*tmp_path.iterdir()] == []


def test_a_cache_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file")
    assert cache.put(KEY, b"x") == b"x"
    assert cache.get(KEY) is None
