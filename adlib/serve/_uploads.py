"""The images of a request, within limits that hold before anything is decoded."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import NamedTuple

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from adlib._typing import AnyArray
from adlib.exceptions import ImageError
from adlib.images._decode import SUFFIXES, load_plugin, read_opened
from adlib.images._sources import Item

# Those that adlib reads from folders, without TGA: its files begin with nothing that
# tells them from other bytes. Others, as EPS, would start further programs.
FORMATS = ["BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]
ADDED = {".heic": "HEIF", ".jxl": "JXL", ".avif": "AVIF"}  # where plugins are there
RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
MOST_FILES = 64  # of one request
MOST_SCANS = 200  # of a JPEG: each takes time for all pixels, and a few bytes
JPEG, SCAN = b"\xff\xd8", b"\xff\xda"
LONGEST_NAME = 200  # characters of a file's name that are shown


class Limits(NamedTuple):
    """What one request, and all that wait, may take.

    Attributes:
        n_bytes: Of a request's body.
        n_pixels: Of an image.
        n_waiting: Requests that are received, wait or are judged at once.
        seconds: From the request to its answer.
    """

    n_bytes: int = 32_000_000
    n_pixels: int = 50_000_000
    n_waiting: int = 64
    seconds: float = 30.0


def readable_formats() -> list[str]:
    """Return Pillow's names of the formats that may come, plugins loaded."""
    found = list(FORMATS)
    for suffix, name in ADDED.items():
        if suffix in SUFFIXES:  # it can be read here
            load_plugin(suffix, suffix)
            found.append(name)
    return found


async def received(request: Request, limits: Limits, formats: list[str]) -> list[Item]:
    """Return the images of a request, not decoded yet.

    Raises:
        HTTPException: 400 for a damaged form or an empty body, 413 for a large one, 415
            for another type of content.
    """
    kind = request.headers.get("content-type", RAW[1]).partition(";")[0].strip().lower()
    body = _bounded(request, limits.n_bytes)
    if kind == "multipart/form-data":
        files = await _files(request, body)
    elif kind.startswith(RAW):
        files = [("image", b"".join([chunk async for chunk in body]))]
    else:
        raise HTTPException(
            415,
            "The body must be one image (Content-Type: image/...), or files as "
            "multipart/form-data.",
        )
    if not files or not files[0][1]:
        raise HTTPException(400, "There is no image in the request.")
    return [
        Item(i, name, partial(decoded, data, name, limits.n_pixels, formats))
        for i, (name, data) in enumerate(files)
    ]


def decoded(data: bytes, name: str, n_pixels: int, formats: list[str]) -> AnyArray:
    """Return the pixels of an encoded image, as ``adlib.images.read_image`` does.

    Raises:
        ImageError: It is unusable, of another format, or too large.
    """
    if data.startswith(JPEG) and data.count(SCAN) > MOST_SCANS:
        raise ImageError(f"{name}: must be a JPEG of at most {MOST_SCANS} scans.")
    return read_opened(io.BytesIO(data), name, formats, n_pixels)


class _Form(MultiPartParser):
    """A form that stays in memory, and knows whether its end has come."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        """Note the end."""
        self.ended = True


async def _bounded(request: Request, n_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes, and stop reading where it gets too large."""
    refused = HTTPException(413, f"The body must have at most {n_bytes:,} bytes.")
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > n_bytes:
        raise refused
    n_read = 0
    async for chunk in request.stream():
        n_read += len(chunk)
        if n_read > n_bytes:
            raise refused
        yield chunk


async def _files(
    request: Request, body: AsyncIterator[bytes]
) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files of a form."""

    async def whole() -> AsyncGenerator[bytes]:
        async for chunk in body:
            yield chunk
        if not parser.ended:
            raise MultiPartException("The form is cut short.")

    parser = _Form(request.headers, whole(), max_files=MOST_FILES, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    except FormParserError as error:  # which Starlette 1.3 lets through
        raise HTTPException(400, str(error)) from None
    found = []
    for number, (_, file) in enumerate(form.multi_items(), 1):
        if isinstance(file, UploadFile):
            name = (file.filename or f"image {number}")[:LONGEST_NAME]
            found.append((name, await file.read()))
    await form.close()
    return found
