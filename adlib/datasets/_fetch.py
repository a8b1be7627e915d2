"""Download a file over HTTP, and resume after a broken connection or a kill.

pooch, torchvision and torch.hub would start again from the first byte of archives of
hundreds of megabytes.

What came is kept in ``<name>.part``, and the server's name of this version of the file
(its ETag or Last-Modified) in ``<name>.part.version``. The next try asks for the rest
of that version; a server that has another one sends it from the start.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from adlib._progress import ProgressBar
from adlib._validation import refusal
from adlib._version import __version__
from adlib.exceptions import DownloadError

TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds after a failed try, doubled with each in a row
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 18  # bytes in memory at once
ROOM_TO_UNPACK = 1.25  # bytes an archive's byte: images hardly shrink
BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class _DroppedError(Exception):
    """A try ended before the file was complete; another may resume it."""


class _Part:
    """What has come of a file so far."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._version = target.with_name(target.name + ".part.version")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str:
        return self._version.read_text("utf-8") if self._version.exists() else ""

    def begin(self, version: str) -> None:
        """Start from nothing; a kill between these lines leaves an empty part."""
        self.path.write_bytes(b"")
        self._version.write_text(version, "utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        self.path.replace(target)
        self._version.unlink(missing_ok=True)


def check_url(url: str, parameter: str, owner: str) -> str:
    """Return an address that HTTP can reach, or raise."""
    if urlsplit(url).scheme not in ("http", "https"):
        rule = "an address that begins with http:// or https://"
        raise ValueError(refusal(parameter, owner, rule, repr(url)))
    return url


def fetch(url: str, target: Path, md5: str, *, progress: bool = True) -> None:
    """Download a file, or raise; the memory needed does not depend on its size.

    Args:
        url: Its address, http or https.
        target: Where it is saved. If it exists, only its checksum is compared.
        md5: The MD5 checksum of the file, 32 hexadecimal digits.
        progress: Whether to draw a bar of bytes on a terminal.

    Raises:
        DownloadError: The server refuses, the connection breaks off again and again,
            the checksum is wrong (the file is then deleted), or the disk has no room
            for the file and for what it unpacks to.
        ValueError: The address is neither http nor https.
    """
    check_url(url, "url", "fetch")
    if target.exists():
        found = _md5_of(target)
        if found != md5:
            raise DownloadError(
                f"{target} must have the MD5 sum {md5}; it has {found}. Delete it to "
                "download it again."
            )
        return
    part = _Part(target)
    longest, failures = part.size, 0
    while True:
        try:
            _go_on(url, part, progress)
            break
        except _DroppedError as error:
            # A line that drops often still gets there, as long as each try adds to it.
            failures = 0 if part.size > longest else failures + 1
            longest = max(longest, part.size)
            if failures == TRIES:
                raise DownloadError(
                    f"{url} could not be downloaded in {TRIES} tries: {error}. What "
                    "came is kept; run the same again to go on."
                ) from error
            time.sleep(PAUSE * 2**failures)
    found = _md5_of(part.path)
    if found != md5:
        part.forget()
        raise DownloadError(
            f"{url} must have the MD5 sum {md5}; what came has {found} and was "
            "deleted. Run the same again, or name another mirror as the base URL."
        )
    part.become(target)


def _go_on(url: str, part: _Part, progress: bool) -> None:
    """Request the missing bytes and append them; return once the part is complete."""
    n_kept, version = part.size, part.version
    headers = {"User-Agent": f"adlib/{__version__}"}
    if n_kept:
        headers["Range"] = f"bytes={n_kept}-"
        if version:
            headers["If-Range"] = version
    # Only schemes that the opener knows, which is not every one that urllib does.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            _check_refusal(error, url, part)
        return
    except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
        raise _DroppedError(str(error) or type(error).__name__) from error
    with response:
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            _check_continues(response, part, n_kept, version)
        else:  # all of it: the first try, another version, or no ranges here
            n_kept = 0
            part.begin(_version_of(response))
        _append(response, part, n_kept, progress)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener of http and https alone, after redirects too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _check_refusal(error: HTTPError, url: str, part: _Part) -> None:
    """Return if the part is complete; else raise whether to try again."""
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        if error.headers.get("Content-Range", "") == f"bytes */{part.size}":
            return
        part.forget()
        raise _DroppedError("the server's file is shorter than what had come of it")
    answer = f"HTTP {error.code} {error.reason}"
    if error.code in BUSY or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _DroppedError(answer)
    raise DownloadError(
        f"{url} cannot be downloaded: {answer}. Look whether the publisher has moved "
        "it, and name another mirror as the base URL."
    )


def _check_continues(
    response: http.client.HTTPResponse, part: _Part, n_kept: int, version: str
) -> None:
    """Raise if a partial answer is not the rest of what was kept."""
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    starts = int(given[1]) if given else -1
    # Some servers heed Range and not If-Range.
    if starts != n_kept or (version and _version_of(response) not in ("", version)):
        part.forget()
        raise _DroppedError("the server's file is not the one that had begun to come")


def _version_of(response: http.client.HTTPResponse) -> str:
    """Return the version of the file for If-Range, or nothing."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):  # a weak tag promises no equal bytes
        return tag
    return response.headers.get("Last-Modified", "")


def _append(
    response: http.client.HTTPResponse, part: _Part, n_kept: int, progress: bool
) -> None:
    n_missing = response.length  # None: the server does not say
    total = None if n_missing is None else n_kept + n_missing
    if total is not None:
        _check_room(part.path, total, total - n_kept)
    name = part.path.name.removesuffix(".part")
    with (
        part.path.open("ab") as file,
        ProgressBar(
            f"Downloading {name}", total, enabled=progress, unit="bytes"
        ) as bar,
    ):
        bar.advance(n_kept)
        for chunk in _chunks(response):
            file.write(chunk)
            bar.advance(len(chunk))
    if total is not None and part.size < total:
        raise _DroppedError(
            f"the connection broke off after {part.size} of {total} bytes"
        )


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield bytes as they come, so that none are lost if the connection breaks."""
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _check_room(path: Path, total: int, n_missing: int) -> None:
    """Raise if the disk cannot hold the rest of an archive and what it unpacks to."""
    needed = n_missing + int(ROOM_TO_UNPACK * total)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise DownloadError(
            f"{path.parent} must have {needed / 1e6:.0f} MB free to download and "
            f"unpack {path.name.removesuffix('.part')}; it has {free / 1e6:.0f} MB. "
            "Free some, or choose another disk."
        )


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()
