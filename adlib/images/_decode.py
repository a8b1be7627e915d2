"""Turn image files and PIL images of any mode into arrays of what they mean."""

from __future__ import annotations

import io
import os
import stat
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from adlib._typing import AnyArray
from adlib._validation import describe, refusal
from adlib.exceptions import ImageError
from adlib.images._deep import (
    TIFF_MAGIC,
    deep_pixels,
    read_tiff,
    sixteen_bits,
    too_large,
)

PLUGINS = {  # the module that lets Pillow read the format, the package that has it
    ".heic": ("pillow_heif.HeifImagePlugin", "pillow-heif"),
    ".heif": ("pillow_heif.HeifImagePlugin", "pillow-heif"),
    ".jxl": ("pillow_jxl.JpegXLImagePlugin", "pillow-jxl-plugin"),
    ".avif": ("PIL.AvifImagePlugin", "pillow>=11.3"),
}


def _readable(suffix: str) -> bool:
    if suffix == ".avif":  # part of Pillow from 11.3 on, where libavif was there
        return "avif" in features.modules and bool(features.check("avif"))
    return find_spec(PLUGINS[suffix][0].partition(".")[0]) is not None


SUFFIXES = frozenset(
    ".bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif "  # noqa: SIM905 - a list of names
    ".tiff .webp".split()
) | frozenset(filter(_readable, PLUGINS))
UPRIGHT = 1  # of EXIF's orientations
PNG_EXIF = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # where a PNG has them
GREY_MODES = ("1", "L", "LA", "La")


def read_image(path: str | os.PathLike[str]) -> AnyArray:
    """Decode an image file to the pixels that it holds.

    The first frame of several; turned upright as EXIF says; palettes, CMYK and other
    colour spaces become RGB; an alpha channel is dropped. Pillow decodes; colour of 16
    bits, which it would cut to 8, is decoded by imagecodecs (PNG, JPEG 2000) and
    tifffile (TIFF).

    Args:
        path: A file of a kind that Pillow reads, whatever its suffix.

    Returns:
        (h, w) grey or (h, w, 3) RGB, as deep as the file: uint8, uint16, or float32
        from files of floats. Where a file says that it has 10 or 12 bits, these fill
        the range of uint16.

    Raises:
        TypeError: ``path`` is no path.
        ImageError: The file is missing, unreadable, no image that can be decoded
            without loss, or of more pixels than twice ``PIL.Image.MAX_IMAGE_PIXELS``.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.images import read_image
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "part.png")
        ...     Image.new("L", (6, 4), 255).save(path)
        ...     read_image(path).shape
        (4, 6)
    """
    try:
        path = Path(path)
    except TypeError:
        remedy = "Decode bytes by PIL.Image.open(io.BytesIO(data))."
        raise TypeError(
            refusal("path", "read_image", "a path", describe(path), remedy)
        ) from None
    suffix = path.suffix.lower()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            kind = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise ImageError(f"{path}: must be a regular file; it is {kind}.")
        load_plugin(suffix, str(path))
        # Not by path: Pillow then maps uncompressed TIFFs and turns them wrongly.
        with path.open("rb") as file:
            return read_opened(file, str(path))
    except ImageError:
        raise
    except FileNotFoundError:
        kind = "a link to nothing" if path.is_symlink() else "not there"
        raise ImageError(f"{path} must be a readable image; it is {kind}.") from None
    except Exception as error:
        raise _undecodable(str(path), error) from error


def read_opened(
    file: IO[bytes],
    name: str,
    formats: list[str] | None = None,
    most_pixels: int | None = None,
) -> AnyArray:
    """Return what ``read_image`` does, of an open file.

    Args:
        file: The file at its beginning, or bytes as one.
        name: What errors call it.
        formats: Pillow's names of the formats that it may have; None: all.
        most_pixels: More than these are refused before they are decoded; None: Pillow
            decides.

    Raises:
        ImageError: As in ``read_image``.
    """
    try:
        return _decode_file(file, formats, most_pixels)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        kind = "of no kind that Pillow knows" if file.seek(0, 2) else "empty"
        text = f"cannot be decoded (its content is {kind})."
        raise ImageError(f"{name} must be a readable image; it {text}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # with None there is no such error
        raise ImageError(
            f"{name} must be an image of at most {most:,} pixels: {error} If you trust "
            "it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except Exception as error:  # decoders raise many kinds on broken files
        raise _undecodable(name, error) from error


def read_content(content: bytes, name: str) -> AnyArray:
    """Return what ``read_image`` does, of the bytes of a file with a name.

    Raises:
        ImageError: As in ``read_image``.
    """
    load_plugin(os.path.splitext(name)[1].lower(), name)  # noqa: PTH122 - of a name
    return read_opened(io.BytesIO(content), name)


def _undecodable(name: str, error: Exception) -> ImageError:
    reason = f"cannot be decoded ({type(error).__name__}: {error})."
    return ImageError(f"{name} must be a readable image; it {reason}")


def decode(image: Image.Image) -> AnyArray:
    """Return the pixels of a PIL image, upright, grey or RGB, in their own depth."""
    deep = deep_pixels(image)
    if deep is not None:
        return deep
    image.load()  # before EXIF is asked for: PNG may have it behind the pixels
    orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    if image.mode in ("L", "RGB") and orientation == UPRIGHT:
        return np.asarray(image)  # as below, without its copies
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode.startswith("I;16") or mode == "F":
        return np.asarray(upright)
    if mode == "I":  # 32-bit integers, as some readers return 16 bits
        return sixteen_bits(np.asarray(upright))
    if mode == "La":  # PIL knows no direct way
        upright = upright.convert("LA")
    upright.info.pop("transparency", None)  # alpha is dropped; PIL would warn of it
    return np.asarray(upright.convert("L" if mode in GREY_MODES else "RGB"))


def load_plugin(suffix: str, name: str) -> None:
    """Let Pillow read files of a suffix, where it needs a plugin for that.

    Raises ImageError for an image of that name where there is none.
    """
    if suffix not in PLUGINS:
        return
    if not _readable(suffix):
        raise ImageError(f"{name}: cannot be read here. {plugin_remedy(suffix)}")
    import_module(PLUGINS[suffix][0])


def plugin_remedy(suffix: str) -> str:
    """Say how Pillow learns to read a format that it does not know by itself."""
    return f"For {suffix} files: pip install '{PLUGINS[suffix][1]}'."


def _decode_file(
    file: IO[bytes], formats: list[str] | None, most_pixels: int | None
) -> AnyArray:
    try:
        image = Image.open(file, formats=formats)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(4) in TIFF_MAGIC:  # such as one of floats in colour
            return read_tiff(file, most_pixels=most_pixels)
        raise
    with image:
        if most_pixels is not None and image.width * image.height > most_pixels:
            raise too_large(image.width * image.height, most_pixels)
        pixels = _plain_png(file, image)
        return decode(image) if pixels is None else pixels


def _plain_png(file: IO[bytes], image: Any) -> AnyArray | None:
    """Return (h, w, 3) uint8 of a plain RGB PNG as Pillow would, but faster.

    None for all other files, and where one is damaged: then Pillow decides. Grey takes
    both as long.
    """
    is_rgb = image.format == "PNG" and image.tile[0][3] == image.mode == "RGB"
    if not is_rgb or image.is_animated or "transparency" in image.info:
        return None
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    if any(name in data for name in PNG_EXIF):
        return None
    try:
        import imagecodecs  # noqa: PLC0415 - slow, and missing where torch is, too

        # Not by png_decode: each of its errors releases None, until Python 3.11 ends.
        pixels: AnyArray = imagecodecs.spng_decode(data)
    except Exception:  # such as imagecodecs' own, or one of a build without spng
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None
