"""Every dtype spans [0, 1]; what cannot be pixels is refused; resizing is bilinear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adlib.exceptions import ImageError
from adlib.images._pixels import PixelFormat, as_pixels, checked, resize


@pytest.fixture
def levels():
    """Every grey level once, (16, 16) uint8."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def colour():
    return np.random.default_rng(0).random((30, 41, 3), dtype=np.float32)


def twin(pixels, size):
    """Resize with torch's antialiased bilinear filter."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels))[None]
    planes = planes.permute(0, 3, 1, 2) if pixels.ndim == 3 else planes[None]
    resized = torch.nn.functional.interpolate(
        planes, size, mode="bilinear", antialias=True
    )[0]
    return (resized.permute(1, 2, 0) if pixels.ndim == 3 else resized[0]).numpy()


def test_the_same_levels_in_any_dtype_give_the_same_pixels(levels):
    expected = as_pixels(levels, "it")
    wide = levels.astype(np.uint16) * 257
    np.testing.assert_array_equal(as_pixels(wide, "it"), expected)
    np.testing.assert_array_equal(as_pixels(wide.astype(">u2"), "it"), expected)
    np.testing.assert_array_equal(as_pixels(levels / 255, "it"), expected)
    np.testing.assert_array_equal(as_pixels(levels / np.float32(255), "it"), expected)
    half = (levels / 255).astype(np.float16)
    np.testing.assert_allclose(as_pixels(half, "it"), expected, atol=5e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float64])
def test_pixels_are_float32_from_zero_to_one(dtype):
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    pixels = as_pixels(np.array([[0, top]], dtype), "it")
    assert pixels.dtype == np.float32
    assert pixels.tolist() == [[0.0, 1.0]]


def test_one_channel_is_grey_and_a_fourth_is_dropped(levels):
    np.testing.assert_array_equal(
        as_pixels(levels[:, :, None], "it"), as_pixels(levels, "it")
    )
    colours = np.stack([levels, levels.T, 255 - levels, levels * 0], axis=2)
    np.testing.assert_array_equal(
        as_pixels(colours, "it"), as_pixels(colours[:, :, :3], "it")
    )


def test_the_image_given_stays_as_it_was(levels):
    given = levels / np.float32(255)
    before = given.copy()
    as_pixels(given, "it")[:] = 0.5
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 5, 2), (4, 5, 5), (1, 4, 5, 3), (0, 5), (4, 0, 3)]
)
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(
        ImageError, match=r"part 7 must be \(height, width\) or"
    ) as info:
        as_pixels(np.zeros(shape, np.uint8), "part 7")
    assert f"shape {shape} and dtype uint8" in str(info.value)


@pytest.mark.parametrize(
    "dtype", [np.int64, np.int8, np.uint32, bool, object, np.complex64]
)
def test_a_dtype_without_a_known_range_is_refused(dtype):
    with pytest.raises(ImageError, match="part 7 must be uint8, uint16 or float in"):
        as_pixels(np.ones((4, 5), dtype), "part 7")


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        (np.nan, r"part 7 must be finite and in \[0, 1\]; got floats from nan"),
        (np.inf, "to inf"),
        (-np.inf, "from -inf"),
        (-0.25, r"from -0\.25 to 0\.5.*adlib normalises them"),
        (255.0, r"from 0\.5 to 255\.0\. Divide by the largest possible value"),
        (1.001, r"from 0\.5 to 1\.001\. Divide"),
    ],
)
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_one_float_outside_the_range_is_refused(shape, value, fragment):
    image = np.full(shape, 0.5)
    image[2, 3] = value
    with pytest.raises(ImageError, match=fragment):
        as_pixels(image, "part 7")


def test_an_image_of_the_right_size_is_left_alone(colour):
    np.testing.assert_array_equal(resize(colour, (30, 41)), colour)


@pytest.mark.parametrize("size", [(16, 16), (8, 40), (50, 20), (64, 90), (30, 20)])
def test_resizing_is_bilinear_with_antialiasing(colour, size):
    for pixels in (colour, colour[:, :, 0]):
        resized = resize(pixels, size)
        assert resized.dtype == np.float32
        assert resized.shape == size + pixels.shape[2:]
        np.testing.assert_allclose(resized, twin(pixels, size), atol=2e-5)


def test_strides_do_not_matter(colour):
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(colour, 2, 0)), 0, 2)
    np.testing.assert_array_equal(resize(turned, (16, 20)), resize(colour, (16, 20)))
    flipped = colour[::-1, ::-1]
    np.testing.assert_array_equal(
        resize(flipped, (16, 20)), resize(flipped.copy(), (16, 20))
    )


def test_the_whole_image_fills_the_whole_input():
    image = np.zeros((20, 60), np.float32)
    image[:, 30:] = 1
    resized = resize(image, (20, 20))
    assert (resized[:, :9] == 0).all()
    assert (resized[:, 11:] > 0.999).all()


@pytest.mark.parametrize("size", [(16, 16), (7, 9), (40, 33), (30, 41)])
@pytest.mark.parametrize("kind", ["grey", "rgb", "one channel", "rgba", "bgr"])
def test_bytes_are_resized_to_the_same_bits_as_their_floats(kind, size):
    channels = {"grey": (), "one channel": (1,), "rgba": (4,)}.get(kind, (3,))
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (30, 41, *channels), dtype=np.uint8)
    pixel_format = PixelFormat("bgr" if kind == "bgr" else "rgb")
    given = image.copy()
    fast = resize(checked(image, "it", pixel_format), size)
    slow = resize(as_pixels(image, "it", pixel_format), size)
    assert fast.dtype == np.float32
    np.testing.assert_array_equal(fast.view(np.uint32), slow.view(np.uint32))
    np.testing.assert_array_equal(image, given)


def test_every_byte_is_resized_as_its_share_of_white(levels):
    wide = np.repeat(np.repeat(levels, 2, axis=0), 2, axis=1)
    one_each = resize(wide[:, :, None][..., 0], (32, 32))
    np.testing.assert_array_equal(one_each, wide.astype(np.float32) / np.float32(255))
    for level in range(256):
        flat = np.full((2, 2), level, np.uint8)
        assert resize(flat, (1, 1)) == resize(as_pixels(flat, "it"), (1, 1))
