"""What the numbers of an image mean."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import adlib
from adlib import PaDiM, PatchCore
from adlib.images import read_image
from tests.conftest import texture
from tests.situations.situation import check, refused, warned, works

GREY8 = texture(1)
RGB8 = np.stack([texture(1), texture(2), texture(3)], axis=2)
# Low bits that 8 of 16 would lose.
GREY = GREY8.astype(np.uint16) * 251 + np.arange(64, dtype=np.uint16)
RGB = RGB8.astype(np.uint16) * 251 + np.arange(64, dtype=np.uint16)[:, None]
RGBA = np.dstack([RGB, np.full_like(GREY, 60000)])
GREY_ALPHA = np.dstack([GREY, RGBA[:, :, 3]])
GREY12, RGB12 = GREY >> 4, RGB >> 4


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def twelve_bit_tiff(values):
    """Pack two values into three bytes, which tifffile reads and does not write."""
    pairs = values.astype(np.uint32).reshape(-1, 2)
    whole = pairs[:, 0] << 12 | pairs[:, 1]
    packed = np.stack([whole >> 16, whole >> 8 & 255, whole & 255], axis=1)
    pixels = packed.astype(np.uint8).tobytes()
    height, width = values.shape
    entries = [
        (256, width),
        (257, height),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 8 * 12 + 4),
        (278, height),
        (279, len(pixels)),
    ]
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    directory = struct.pack("<H", len(entries)) + fields + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + pixels


def ppm(values, white):
    height, width = values.shape[:2]
    kind = b"P6" if values.ndim == 3 else b"P5"
    header = b"%s\n%d %d\n%d\n" % (kind, width, height, white)
    return header + values.astype(">u2").tobytes()


def read(place, name, content):
    (place.folder / name).write_bytes(content)
    return read_image(str(place.folder / name))


def holds(name, content, expected):
    """A file whose pixels come as they are stored."""

    def does(place):
        pixels = read(place, name, content)
        np.testing.assert_array_equal(pixels, expected)
        return pixels.dtype == expected.dtype

    return works(does)


def cannot(name, content, says):
    """A file that would be read with a loss."""
    return refused(lambda place: read(place, name, content), says)


def spread(values, white):
    return np.round(values * (65535 / white)).astype(np.uint16)


def turned(place):
    """A 16-bit colour TIFF that is to be turned by its EXIF orientation."""
    content = tiff(RGB[:32], photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    expected = np.rot90(RGB[:32], -1)
    return np.array_equal(read(place, "a.tif", content), expected)


def lazily_opened(place):
    """PIL's own image of a 16-bit colour file, not loaded yet."""
    (place.folder / "a.png").write_bytes(imagecodecs.png_encode(RGB))
    with Image.open(place.folder / "a.png") as image:
        given = place.model.score([image])
    return given == place.model.score(RGB[None])


def fits(place, X, **settings):
    return PaDiM(image_size=64, progress=False, **settings).fit(X)


def scores(place, X, **settings):
    place.model.set_params(**settings)
    return place.model.score(X)


def same(place, X, expected, **settings):
    """Ask whether ``X``, with these settings, scores as what it shows does."""
    plain = place.model.score(expected)
    return np.array_equal(scores(place, X, **settings), plain)


def white_is_kept(place):
    """A model of a 12-bit camera, saved and loaded, knows what white is."""
    dark = np.stack([GREY12 + np.uint16(i) for i in range(4)])
    model = PatchCore(image_size=64, coreset=0.5, max_value=4095, progress=False)
    model.fit(dark).save(place.folder / "m.adlib")
    loaded = adlib.load(place.folder / "m.adlib")
    return loaded.max_value == 4095 and np.array_equal(
        loaded.score(dark), model.score(dark)
    )


def order_is_kept(place):
    """A model for OpenCV's frames, saved and loaded, knows the order of channels."""
    frames = np.stack([RGB8, RGB8[::-1]])[..., ::-1]
    model = PatchCore(image_size=64, coreset=0.5, color="bgr", progress=False)
    model.fit(frames).save(place.folder / "m.adlib")
    loaded = adlib.load(place.folder / "m.adlib")
    return loaded.color == "bgr" and np.array_equal(
        loaded.score(frames), model.score(frames)
    )


def bgr_files(place):
    """Files and PIL images are RGB whatever order arrays have."""
    place.write("a.png", RGB8)
    place.model.set_params(color="bgr")
    file = place.model.score(place.folder / "a.png")
    opened = place.model.score([Image.fromarray(RGB8)])
    return file == opened == place.model.score(RGB8[None, ..., ::-1])


def bmp(place):
    return place.write("a.bmp", GREY8)


def masked(values, mask):
    return np.ma.MaskedArray(values, mask=mask)


DARK = (0, 1, 2)
FIRST = np.moveaxis(RGB8, 2, 0)
BATCH, LABELS = np.stack([GREY8, GREY8.T]), np.array([0, 1])
FLOATS = (GREY8 / 255).astype(np.float32)


class Frame:
    """What a table of pandas looks like from outside."""

    columns, shape = ("path", "label"), (2, 2)

    def __iter__(self):
        return iter(self.columns)


SITUATIONS = {
    # 16 bits a channel are not cut to 8, in any format that has them.
    "16-bit colour PNG": holds("a.png", imagecodecs.png_encode(RGB), RGB),
    "16-bit colour PNG with alpha": holds("a.png", imagecodecs.png_encode(RGBA), RGB),
    "16-bit grey PNG": holds("a.png", imagecodecs.png_encode(GREY), GREY),
    "16-bit grey PNG with alpha": holds(
        "a.png", imagecodecs.png_encode(GREY_ALPHA), GREY
    ),
    "16-bit colour TIFF": holds("a.tif", tiff(RGB, photometric="rgb"), RGB),
    "16-bit colour TIFF, compressed": holds(
        "a.tif", tiff(RGB, photometric="rgb", compression="lzw", predictor=2), RGB
    ),
    "16-bit colour TIFF in tiles": holds(
        "a.tif", tiff(RGB, photometric="rgb", compression="zlib", tile=(16, 16)), RGB
    ),
    "16-bit colour TIFF, a plane for each colour": holds(
        "a.tif",
        tiff(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate"),
        RGB,
    ),
    "16-bit colour TIFF, big-endian": holds(
        "a.tif", tiff(RGB, photometric="rgb", byteorder=">"), RGB
    ),
    "16-bit colour TIFF with alpha": holds(
        "a.tif", tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGB
    ),
    "16-bit colour TIFF, turned by EXIF": works(turned),
    "16-bit grey TIFF in which white is 0": holds(
        "a.tif", tiff(65535 - GREY, photometric="miniswhite"), GREY
    ),
    "8-bit grey TIFF in which white is 0": holds(
        "a.tif", tiff(255 - GREY8, photometric="miniswhite"), GREY8
    ),
    "a TIFF that says it has 12 bits": holds(
        "a.tif", twelve_bit_tiff(GREY12), spread(GREY12, 4095)
    ),
    "colour TIFF of floats": holds(
        "a.tif",
        tiff((RGB / 65535).astype(np.float32), photometric="rgb"),
        (RGB / 65535).astype(np.float32),
    ),
    "grey TIFF of half floats": holds(
        "a.tif", tiff(FLOATS.astype(np.float16)), FLOATS.astype(np.float16)
    ),
    "16-bit colour JPEG 2000": holds(
        "a.jp2",
        imagecodecs.jpeg2k_encode(RGB, level=0, codecformat="jp2", reversible=True),
        RGB,
    ),
    "12-bit colour JPEG 2000": holds(
        "a.jp2",
        imagecodecs.jpeg2k_encode(
            RGB12, level=0, codecformat="jp2", reversible=True, bitspersample=12
        ),
        spread(RGB12, 4095),
    ),
    "16-bit colour PPM": holds("a.ppm", ppm(RGB, 65535), RGB),
    "12-bit colour PPM": holds("a.ppm", ppm(RGB12, 4095), spread(RGB12, 4095)),
    "16-bit grey PGM": holds("a.pgm", ppm(GREY, 65535), GREY),
    "12-bit AVIF": cannot(
        "a.avif",
        imagecodecs.avif_encode(RGB12, bitspersample=12, level=100),
        "a.avif: (holds more than 8 bits a chan.* Save it as PNG|cannot be read here)",
    ),
    "16-bit colour PPM in plain text": cannot(
        "a.ppm", b"P3\n1 1\n65535\n9 99 999\n", "from PPM in plain text"
    ),
    "16-bit CMYK TIFF": cannot(
        "a.tif", tiff(RGBA, photometric="separated"), "must be a grey or RGB TIFF"
    ),
    "a TIFF of two unnamed channels": refused(
        lambda place: (
            (place.folder / "a.tif").write_bytes(
                tiff(
                    GREY_ALPHA,
                    photometric="minisblack",
                    planarconfig="contig",
                    extrasamples=["unspecified"],
                )
            ),
            place.model.score(place.folder / "a.tif"),
        ),
        r"a.tif must be \(height, width\) or .*\(64, 64, 2\)",
    ),
    "a 16-bit colour image that PIL has opened": works(lazily_opened),
    # What counts as white.
    "frames of a 12-bit camera, without a word": warned(
        lambda place: fits(place, [GREY12] * 3),
        r"images of PaDiM.fit use values up to \d+ of 65535, .*max_value=4095 if",
    ),
    "files of a 12-bit camera, without a word": warned(
        lambda place: fits(place, [place.write("a.png", GREY12)]),
        "max_value=4095 if they have 12 bits, or max_value=65535 if they are that dark",
    ),
    "frames of a 10-bit camera, without a word": warned(
        lambda place: scores(place, [GREY >> 6]), "max_value=1023"
    ),
    "frames of a 14-bit camera, without a word": warned(
        lambda place: scores(place, (GREY >> 2)[None]), "max_value=16383"
    ),
    "a stream of 12-bit frames, inspected": warned(
        lambda place: list(place.model.inspect(iter([GREY12, GREY12]))),
        "16-bit images of PatchCore.inspect",
    ),
    "12-bit frames, learned in two readings": warned(
        lambda place: fits(
            place, [GREY12 + i for i in range(3)], false_positive_rate=0.3
        ),
        "max_value=4095",
    ),
    "one bright frame among dark ones": works(
        lambda place: len(scores(place, [GREY12, GREY])) == 2
    ),
    "16-bit frames that are meant to be dark": works(
        lambda place: len(scores(place, [GREY12], max_value=65535)) == 1
    ),
    "12-bit frames of which white is known": works(
        lambda place: same(
            place, GREY12[None], (GREY12 / np.float32(4095))[None], max_value=4095
        )
    ),
    "the same in 8 bits": works(
        lambda place: same(place, GREY8[None], GREY8[None], max_value=4095)
    ),
    "floats of which white is known": works(
        lambda place: same(
            place,
            GREY12[None].astype(np.float32),
            GREY12[None].astype(np.float32) / np.float32(4095),
            max_value=4095,
        )
    ),
    "a value above white": refused(
        lambda place: scores(place, [GREY12 + np.uint16(1500)], max_value=4095),
        r"image 0 must be finite and in \[0, 4095.*Raise max_value",
    ),
    "a model of a 12-bit camera goes through a file": works(white_is_kept),
    "white of 0": refused(
        lambda place: scores(place, GREY[None], max_value=0),
        "max_value of PatchCore must be a finite number above 0; got 0",
    ),
    "white as a text": refused(
        lambda place: scores(place, GREY[None], max_value="12 bit"), "max_value of Pat"
    ),
    # The order of channels.
    "OpenCV's frames": works(
        lambda place: same(place, RGB8[None, ..., ::-1], RGB8[None], color="bgr")
    ),
    "OpenCV's frames with alpha": works(
        lambda place: same(
            place,
            np.dstack([RGB8[..., ::-1], GREY8])[None],
            RGB8[None],
            color="bgr",
        )
    ),
    "grey frames of OpenCV": works(
        lambda place: same(place, GREY8[None], GREY8[None], color="bgr")
    ),
    "files beside OpenCV's frames": works(bgr_files),
    "a model for OpenCV's frames goes through a file": works(order_is_kept),
    "an order that is none": refused(
        lambda place: scores(place, RGB8[None], color="BGR"), "one of 'rgb', 'bgr'"
    ),
    "RGBA arrays": works(
        lambda place: same(place, np.dstack([RGB8, GREY8])[None], RGB8[None])
    ),
    "RGBA tensors": works(
        lambda place: same(
            place,
            torch.from_numpy(np.vstack([FIRST, GREY8[None]]))[None],
            RGB8[None],
        )
    ),
    # Channels come last in arrays.
    "a list of channels-first arrays": refused(
        lambda place: place.model.score([FIRST, FIRST]),
        r"image 0 of X must be \(h, w\) or \(h, w, 3\): channels come last",
    ),
    "a generator of channels-first arrays": refused(
        lambda place: place.model.score(iter([FIRST])), r"np.moveaxis\(image, 0, 2\)"
    ),
    "a dictionary with a channels-first array": refused(
        lambda place: place.model.score([{"image": FIRST}]), "channels come last"
    ),
    "channels-first arrays with labels": refused(
        lambda place: place.model.score([(FIRST, 1)]), "channels come last"
    ),
    "a channels-first array with alpha": refused(
        lambda place: place.model.score([np.vstack([FIRST, GREY8[None]])]), "come last"
    ),
    "a channels-first grey array": works(
        lambda place: same(place, [GREY8[None]], GREY8[None])
    ),
    "grey batches, of which the last has three": works(
        lambda place: (
            len(place.model.score(iter([np.stack([GREY8] * 5), np.stack([GREY8] * 3)])))
            == 8
        )
    ),
    # Arrays that hide or bend their values.
    "a masked array": refused(
        lambda place: place.model.score([masked(GREY8, GREY8 > 99)]),
        r"image 0 must not hide pixels; got a masked array. Fill it: image.filled\(0\)",
    ),
    "a masked stack": refused(
        lambda place: place.model.score(masked(BATCH, BATCH > 99)), "masked array"
    ),
    "a masked array that masks nothing": works(
        lambda place: same(place, masked(BATCH, False), BATCH)
    ),
    "floats above 1 by rounding": works(
        lambda place: same(
            place,
            np.full((1, 64, 64), 1 + 1e-7),
            np.ones((1, 64, 64)),
        )
    ),
    "floats below 0 by rounding": works(
        lambda place: same(place, np.full((1, 64, 64), -1e-9), np.zeros((1, 64, 64)))
    ),
    "half floats above 1 by rounding": works(
        lambda place: same(
            place,
            np.full((1, 64, 64), np.float16(1.001)),
            np.ones((1, 64, 64)),
        )
    ),
    "floats above 1 by more than rounding": refused(
        lambda place: place.model.score(np.full((1, 64, 64), 1.00002)),
        r"got floats from 1.00002 to 1.00002. Divide by",
    ),
    "floats that were normalised": refused(
        lambda place: place.model.score(np.full((1, 64, 64), -2.1179)),
        "from -2.1179 to -2.1179. Pass pixels as they are",
    ),
    # Things that hold images in another way.
    "bytes of a file": refused(
        lambda place: place.model.score(imagecodecs.png_encode(RGB)),
        r"\[PIL.Image.open\(io.BytesIO\(data\)\)\]",
    ),
    "a file in memory": refused(
        lambda place: place.model.score(io.BytesIO(imagecodecs.png_encode(RGB))),
        "Decode it first",
    ),
    "bytes in a list": refused(
        lambda place: place.model.score([imagecodecs.png_encode(RGB)]),
        "image 0 of X must be a path, .*Decode it first",
    ),
    "a file in memory in a list": refused(
        lambda place: place.model.score([io.BytesIO(b"")]), "Decode it first"
    ),
    "a table of paths": refused(
        lambda place: place.model.score(Frame()), r"list\(X\['path'\]\)"
    ),
    "a batch with its labels": refused(
        lambda place: place.model.score((BATCH, LABELS)),
        r"looks like a batch \(images, labels\): pass the images, X\[0\]",
    ),
    "a batch of tensors with its labels": refused(
        lambda place: place.model.fit(
            [torch.from_numpy(RGB8).permute(2, 0, 1)[None], torch.tensor([1])]
        ),
        "looks like a batch",
    ),
    "a batch with a list of labels": refused(
        lambda place: place.model.score([BATCH, [0, 1]]), "looks like a batch"
    ),
    "read_image is given a text": works(
        lambda place: np.array_equal(
            read_image(str(place.write("a.bmp", GREY8))), GREY8
        )
    ),
    "read_image is given bytes": refused(
        lambda place: read_image(b"a.bmp"), "path of read_image must be a path; got b'a"
    ),
    "read_image is given a file in memory": refused(
        lambda place: read_image(io.BytesIO(b"a")), "path of read_image must be a path"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
