"""Pixels of more than 8 bits a channel, which Pillow cuts to 8 in colour.

PNG and JPEG 2000 are decoded by imagecodecs, TIFF by tifffile: unlike OpenCV they do
not clash with another build of the same module.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image

from adlib._typing import AnyArray
from adlib.exceptions import ImageError
from adlib.images._pixels import UINT16_MAX

DEEP_MODES = ("I", "F")  # and I;16 with its byte orders: Pillow keeps these as they are
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ALPHA = (1, 2)  # what TIFF calls an extra sample that is one
TRANSPOSED = 5  # EXIF orientations from here on swap height and width


def deep_pixels(image: Any) -> AnyArray | None:
    """Return (h, w) or (h, w, c) uint16 or floats, upright; None where Pillow suffices.

    ``image`` is as ``Image.open`` gave it. Raises ImageError where it is deep and of a
    format that is not read in full.
    """
    file: IO[bytes] | None = getattr(image, "fp", None)
    if file is None or file.closed or not image.tile:
        return None
    reader = {"TIFF": _tiff, "PNG": _png, "JPEG2000": _jpeg2000, "PPM": _ppm}
    place = file.tell()
    try:
        pixels = reader.get(image.format or "", _refuse)(file, image)
    finally:
        file.seek(place)
    if pixels is None or image.format == "TIFF":  # which is read upright
        return pixels
    return _upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))


def read_tiff(
    file: IO[bytes], number: int = 0, most_pixels: int | None = None
) -> AnyArray:
    """Return a page of a TIFF: (h, w) or (h, w, c), uint16 or floats, upright.

    Raises ImageError unless it is grey or RGB, with values that 16 bits hold.
    """
    import tifffile  # noqa: PLC0415 - for few files

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[number]
        n_pixels = page.imagewidth * page.imagelength
        if most_pixels is not None and n_pixels > most_pixels:
            raise too_large(n_pixels, most_pixels)
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and n_pixels > 2 * most:
            raise Image.DecompressionBombError(f"it has {n_pixels} pixels.")
        kinds = tifffile.PHOTOMETRIC
        if page.photometric not in (kinds.MINISWHITE, kinds.MINISBLACK, kinds.RGB):
            name = getattr(page.photometric, "name", page.photometric)
            raise ImageError(f"must be a grey or RGB TIFF; got {name}.")
        values = np.asarray(page.asarray())
        if page.axes == "SYX":
            values = np.moveaxis(values, 0, 2)
        inverted = page.photometric == kinds.MINISWHITE
        if values.dtype.kind == "f":
            values = 1 - values if inverted else values
        elif values.dtype.kind == "u":
            white = 2**page.bitspersample - 1
            values = sixteen_bits(white - values if inverted else values)
            values = _spread(values, white)
        else:
            values = sixteen_bits(values)
        if page.extrasamples and page.extrasamples[-1] in ALPHA:
            values = _without_alpha(values)
        return _upright(values, page.tags.valueof(ExifTags.Base.Orientation, 1))


def too_large(n_pixels: int, most_pixels: int) -> ImageError:
    """Return the error for an image of more pixels than may come."""
    return ImageError(f"must have at most {most_pixels:,} pixels; it has {n_pixels:,}.")


def sixteen_bits(values: AnyArray) -> AnyArray:
    """Return integers of any kind as uint16, or raise where they do not fit."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > UINT16_MAX:
        raise ImageError(
            f"{8 * values.dtype.itemsize}-bit grey values must lie in "
            f"[0, {UINT16_MAX}]; got {low} to {high}."
        )
    return values.astype(np.uint16)


def _tiff(file: IO[bytes], image: Any) -> AnyArray | None:
    bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))
    return read_tiff(file, image.tell()) if max(bits) > 8 else None  # noqa: PLR2004 - bits


def _png(file: IO[bytes], image: Any) -> AnyArray | None:
    if not _is_cut(image):
        return None
    import imagecodecs  # noqa: PLC0415 - for few files

    file.seek(0)
    return _without_alpha(imagecodecs.png_decode(file.read()))


def _jpeg2000(file: IO[bytes], image: Any) -> AnyArray | None:
    if image.mode not in ("RGB", "RGBA", "LA"):
        return None
    file.seek(0)
    data = file.read()
    start = data.find(b"\xff\x4f\xff\x51")  # the codestream with its size marker,
    bits = (data[start + 42] & 0x7F) + 1  # in which the first channel's depth stands
    if bits <= 8:  # noqa: PLR2004
        return None
    right, bottom, left, top = np.frombuffer(data, ">u4", 4, start + 8).tolist()
    if (right - left, bottom - top) != image.size:  # which was checked; this was not
        raise ImageError("states two sizes.")
    import imagecodecs  # noqa: PLC0415

    values = _without_alpha(imagecodecs.jpeg2k_decode(data))
    return _spread(values, 2**bits - 1)


def _ppm(file: IO[bytes], image: Any) -> AnyArray | None:
    codec, _, start, args = image.tile[0]
    if image.mode != "RGB" or not isinstance(args, tuple) or args[1] <= 255:  # noqa: PLR2004
        return None
    if codec != "ppm":
        raise _cut("PPM in plain text")
    file.seek(start)
    shape = (image.height, image.width, 3)
    values = np.frombuffer(file.read(2 * int(np.prod(shape))), ">u2").reshape(shape)
    return _spread(values.astype(np.uint16), int(args[1]))


def _refuse(file: IO[bytes], image: Any) -> None:
    """Raise where a format that only Pillow reads here is cut to 8 bits."""
    file.seek(0)
    setting = file.read(4096).partition(b"av1C")[2] if image.format == "AVIF" else b""
    ten_bits = setting != b"" and bool(setting[2] & 0x40)
    if _is_cut(image) or ten_bits or image.info.get("bit_depth", 8) > 8:  # noqa: PLR2004
        raise _cut(str(image.format))


def _cut(kind: str) -> ImageError:
    return ImageError(
        f"holds more than 8 bits a channel, which adlib cannot read from {kind} "
        "without loss. Save it as PNG or TIFF."
    )


def _is_cut(image: Any) -> bool:
    """Ask whether Pillow makes 8 bits of 16."""
    stored = str(image.tile[0][3])
    return ";16" in stored and not image.mode.startswith(DEEP_MODES)


def _without_alpha(values: AnyArray) -> AnyArray:
    if values.ndim == 3 and values.shape[2] in (2, 4):  # noqa: PLR2004 - with alpha
        values = values[:, :, :-1]
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values  # noqa: PLR2004


def _spread(values: AnyArray, white: int) -> AnyArray:
    """Spread uint16 values from [0, white] over 16 bits, if they use fewer."""
    if white >= UINT16_MAX:
        return values
    scaled = values.astype(np.float64) * (UINT16_MAX / white)
    return np.round(scaled).astype(np.uint16)


def _upright(pixels: AnyArray, orientation: int) -> AnyArray:
    """Turn and mirror an image as its EXIF orientation, 1 to 8, asks."""
    if orientation >= TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
