"""Image files of every mode are read as what they mean, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from adlib.exceptions import ImageError
from adlib.images import _decode, open_source, read_batches, read_image

GREY = np.random.default_rng(1).integers(0, 256, (10, 12), dtype=np.uint8)
RGB = np.random.default_rng(2).integers(0, 256, (10, 12, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(3).integers(0, 256, (10, 12), dtype=np.uint8)
DEEP = np.random.default_rng(4).integers(0, 65536, (10, 12), dtype=np.uint16)
FLOAT = np.random.default_rng(5).random((10, 12), dtype=np.float32)
COLOURS = np.random.default_rng(6).integers(0, 256, (16, 3), dtype=np.uint8)
INDICES = GREY % 16
ORIENTED = {  # EXIF orientation: what the stored pixels are to become
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: np.rot90(stored, 1),
}


def palette():
    image = Image.fromarray(INDICES)
    image.putpalette(COLOURS.tobytes())
    return image


def with_alpha(colours):
    return Image.fromarray(np.dstack([colours, ALPHA]))


def cut(path):
    """Save a photograph and keep the first half of its file."""
    noise = np.random.default_rng(7).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def pixels_of(X):
    source = open_source(X, "fit")
    return next(read_batches(source, image_size=(16, 16), batch_size=1))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm", "tga", "JP2"])
def test_a_grey_file_gives_its_grey_levels(tmp_path, suffix):
    Image.fromarray(GREY).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, GREY)


CASES = {
    "rgb": (lambda: Image.fromarray(RGB), "a.png", {}, RGB),
    "rgb tiff": (lambda: Image.fromarray(RGB), "a.tiff", {}, RGB),
    "rgb webp": (lambda: Image.fromarray(RGB), "a.webp", {"lossless": True}, RGB),
    "rgb with a transparent colour": (
        lambda: Image.fromarray(RGB),
        "a.png",
        {"transparency": (1, 2, 3)},
        RGB,
    ),
    "rgba": (lambda: with_alpha(RGB), "a.png", {}, RGB),
    "grey with alpha": (lambda: with_alpha(GREY), "a.png", {}, GREY),
    "grey with a transparent level": (
        lambda: Image.fromarray(GREY),
        "a.png",
        {"transparency": 9},
        GREY,
    ),
    "palette": (palette, "a.png", {}, COLOURS[INDICES]),
    "palette with a transparent index": (
        palette,
        "a.png",
        {"transparency": 3},
        COLOURS[INDICES],
    ),
    "palette with an alpha table": (
        palette,
        "a.png",
        {"transparency": bytes([0, 100] + [255] * 14)},
        COLOURS[INDICES],
    ),
    "gif": (palette, "a.gif", {}, COLOURS[INDICES]),
    "one bit": (lambda: Image.fromarray(GREY > 99), "a.png", {}, (GREY > 99) * 255),
    "16-bit png": (lambda: Image.fromarray(DEEP), "a.png", {}, DEEP),
    "16-bit tiff": (lambda: Image.fromarray(DEEP), "a.tif", {}, DEEP),
    "32-bit tiff": (lambda: Image.fromarray(DEEP.astype(np.int32)), "a.tif", {}, DEEP),
    "float tiff": (lambda: Image.fromarray(FLOAT), "a.tif", {}, FLOAT),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_the_pixels_it_means(tmp_path, case):
    make, name, options, expected = CASES[case]
    make().save(tmp_path / name, **options)
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image, expected)
    kept = np.asarray(expected).dtype in (np.uint16, np.float32)
    assert image.dtype == (expected.dtype if kept else np.uint8)


@pytest.mark.parametrize("case", CASES)
def test_a_file_and_its_pil_image_give_the_same_pixels(tmp_path, case):
    make, name, options, _ = CASES[case]
    make().save(tmp_path / name, **options)
    from_file = pixels_of(tmp_path / name)
    with Image.open(tmp_path / name) as opened:
        from_pil = pixels_of(opened)
    np.testing.assert_array_equal(from_pil.images, from_file.images)


@pytest.mark.parametrize("mode", ["La", "RGBa", "RGBX", "PA", "YCbCr", "LAB", "HSV"])
def test_every_mode_of_pil_has_pixels(mode):
    assert pixels_of(Image.new(mode, (12, 10))).images.shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_ink_becomes_colour(tmp_path, ink, colour):
    Image.new("CMYK", (16, 16), ink).save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (16, 16, 3)
    np.testing.assert_allclose(image, np.full((16, 16, 3), colour), atol=3)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_photograph_is_turned_upright(tmp_path, suffix, orientation):
    stored = np.repeat(np.repeat(GREY[:2, :3], 16, axis=0), 16, axis=1)
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix == "jpg" else {}
    picture.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    image = read_image(tmp_path / f"a.{suffix}")
    expected = ORIENTED[orientation](stored)
    np.testing.assert_allclose(image.astype(int), expected.astype(int), atol=3)


def test_the_first_frame_of_several_is_read(tmp_path):
    frames = [Image.fromarray(frame) for frame in (GREY, 255 - GREY)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_values_beyond_16_bits_are_refused(tmp_path, value):
    wide = DEEP.astype(np.int32)
    wide[3, 4] = value
    Image.fromarray(wide).save(tmp_path / "wide.tif")
    fragment = r"wide\.tif: 32-bit grey values must lie in \[0, 65535\]; got .*"
    with pytest.raises(ImageError, match=f"{fragment}{value}"):
        read_image(tmp_path / "wide.tif")


def test_a_pil_image_with_wide_values_is_refused_by_its_position():
    wide = Image.fromarray(np.full((10, 12), 70000, np.int32))
    with pytest.raises(ImageError, match=r"image 0.*32-bit grey values must lie in"):
        pixels_of(wide)


def test_float_files_beyond_one_are_refused_by_name(tmp_path):
    Image.fromarray(FLOAT * 255).save(tmp_path / "bright.tif")
    with pytest.raises(ImageError, match=r"bright\.tif must be finite and in \[0, 1\]"):
        pixels_of(tmp_path / "bright.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_a_truncated_file_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    cut(path)
    with pytest.raises(ImageError, match=rf"cut\.{suffix} must be a readable image"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"these are words\n", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "words.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"words\.png must be a readable image"):
        read_image(tmp_path / "words.png")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png must be .*it is not there"):
        read_image(tmp_path / "gone.png")


def test_a_decompression_bomb_is_refused_by_name(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(
        ImageError, match=r"bomb\.png must .* at most 20 pixels: .* raise PIL"
    ):
        read_image(tmp_path / "bomb.png")


def test_a_closed_pil_image_is_refused_by_its_position(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as closed:
        pass
    with pytest.raises(ImageError, match="image 0 "):
        pixels_of([closed])


def test_a_truncated_pil_image_is_refused_by_its_position(tmp_path):
    path = tmp_path / "cut.png"
    cut(path)
    with (
        Image.open(path) as broken,
        pytest.raises(ImageError, match=r"image 0 cannot be decoded \(.*\)"),
    ):
        pixels_of([broken])


def chunk(name, content):
    """A chunk of a PNG."""
    checksum = zlib.crc32(name + content)
    return len(content).to_bytes(4) + name + content + checksum.to_bytes(4)


def png(size=(37, 29), **options):
    """An RGB PNG of noise, as bytes."""
    noise = np.random.default_rng(8).integers(0, 256, (*size, 3), dtype=np.uint8)
    noise[: size[0] // 2] //= 64  # which is compressed in another way
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG", **options)
    return stream.getvalue()


def with_chunk(content, position, name, data):
    """Insert a chunk behind the header (33) or before the end (-12)."""
    return content[:position] + chunk(name, data) + content[position:]


ROTATED = Image.Exif()
ROTATED[0x0112] = 6
INTERLACED = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 1)) + chunk(
    b"IDAT", zlib.compress(b"\0\1\2\3\0\4\5\6")
)
PLAIN_PNGS = {
    "noise": png(),
    "one pixel": png((1, 1)),
    "stored": png(compress_level=0),
    "text": with_chunk(png(), 33, b"tEXt", b"Software\0camera"),
    "gamma": with_chunk(png(), 33, b"gAMA", struct.pack(">I", 200_000)),
    "background": with_chunk(png(), 33, b"bKGD", b"\0\x80\0\x80\0\x80"),
    "profile": png(
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
    "interlaced": png()[:8] + INTERLACED + chunk(b"IEND", b""),
    "no end": png()[:-12],
    "wrong checksum": png()[:-16] + bytes(4) + png()[-12:],
}
OTHER_PNGS = {
    "EXIF": png(exif=ROTATED),
    "EXIF behind the pixels": with_chunk(png(), -12, b"eXIf", ROTATED.tobytes()[6:]),
    "transparent colour": png(transparency=(1, 2, 3)),
    "animated": png(save_all=True, append_images=[Image.new("RGB", (29, 37))]),
}


def by_pillow(path):
    """The slow twin: what Pillow alone makes of a file."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("case", [*PLAIN_PNGS, *OTHER_PNGS])
def test_a_colour_png_has_the_bytes_that_pillow_gives(tmp_path, case, monkeypatch):
    (tmp_path / "a.png").write_bytes((PLAIN_PNGS | OTHER_PNGS)[case])
    decode = Mock(wraps=_decode.decode)
    monkeypatch.setattr(_decode, "decode", decode)
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image, by_pillow(tmp_path / "a.png"))
    assert decode.called == (case in OTHER_PNGS)


def test_damaged_colour_pngs_are_what_pillow_makes_of_them(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    rng = np.random.default_rng(9)

    def outcome():
        try:
            return read_image(path).tolist()
        except ImageError as error:
            return str(error)

    for number in range(60):
        content = bytearray(png())
        place = int(rng.integers(len(content)))
        if number % 3 == 0:
            del content[place:]
        elif number % 3 == 1:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            del content[place : place + 7]
        path.write_bytes(content)
        fast = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(_decode, "_plain_png", lambda file, image: None)
            assert fast == outcome()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_pil_image_is_neither_turned_nor_changed(mode):
    image = Image.fromarray(RGB).convert(mode)
    image.getexif()[0x0112] = 6
    image.info["transparency"] = 0
    before = image.copy()
    turned = _decode.decode(image)
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(before), -1))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(before))
    assert image.info == before.info
