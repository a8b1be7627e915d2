"""Download a data set class by class, from its publisher or a mirror, and unpack it.

pooch, torchvision and torch.hub start again from the first byte of archives of hundreds
of megabytes; here a download that broke off is resumed.
"""

from __future__ import annotations

import hashlib
import http.client
import lzma
import re
import shutil
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError

from adlib._progress import ProgressBar
from adlib._validation import check_option, describe, refusal
from adlib._version import __version__
from adlib.datasets._mvtec_ad import ARCHIVES, NOTICE
from adlib.exceptions import DownloadError

TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds after a failed try, doubled with each in a row
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 18  # bytes in memory at once
ROOM_TO_UNPACK = 1.25  # bytes an archive's byte: images hardly shrink
BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def download(
    dataset: Literal["mvtec-ad"],
    root: str | Path,
    classes: Sequence[str] | None = None,
    *,
    accept_license: bool = False,
    base_url: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Download classes of a data set and unpack them.

    A class whose folder exists is not changed. An interrupted download is resumed. An
    archive ``<class>.tar.xz`` in ``root`` is used if its checksum is right. Archives
    are deleted after they are unpacked. Only one process may download into a folder at
    a time.

    Args:
        dataset: "mvtec-ad".
        root: Folder that gets a folder for each class; made if it does not exist.
        classes: Which classes; None: all.
        accept_license: True says that the user has read the terms, which the error
            without it shows, and accepts them.
        base_url: A mirror, http or https, that has ``<base_url>/<class>.tar.xz``; None:
            the publisher's server. The checksums are the publisher's in both cases.
        progress: Whether to draw bars on a terminal.
        say: Called with a line for each class.

    Returns:
        The folders of the classes, in the order asked for.

    Raises:
        DownloadError: A file cannot be downloaded, is not the published one, or the
            disk has no room.
        RuntimeError: This Python (3.11.0 to 3.11.3) cannot unpack safely.
        ValueError: The licence is not accepted, there is no such data set or class, or
            ``base_url`` is no such address.

    References:
        1. P. Bergmann et al., "MVTec AD", CVPR 2019. The images are under CC BY-NC-SA
           4.0.
    """
    owner = "download"
    check_option(dataset, "dataset", owner, ("mvtec-ad",))
    wanted = list(ARCHIVES) if classes is None else list(dict.fromkeys(classes))
    if isinstance(classes, str) or not wanted or not set(wanted) <= set(ARCHIVES):
        rule = f"None or a list of some of {', '.join(ARCHIVES)}"
        raise ValueError(refusal("classes", owner, rule, describe(classes)))
    if accept_license is not True:
        rule, terms = "True, which accepts the terms below", f"\n\n{NOTICE}"
        raise ValueError(refusal("accept_license", owner, rule, accept_license, terms))
    if base_url is not None and not re.match("(?i)https?://", str(base_url)):
        rule = "an address that begins with http:// or https://"
        raise ValueError(refusal("base_url", owner, rule, describe(base_url)))
    if not hasattr(tarfile, "data_filter"):
        raise RuntimeError(
            "Unpacking needs Python 3.11.4 or later: earlier ones cannot keep an "
            "archive from writing outside its folder. Upgrade Python."
        )
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if (folder / name).exists():
            say(f"{name}: already there.")
            continue
        url, md5 = ARCHIVES[name]
        if base_url is not None:
            url = f"{base_url.rstrip('/')}/{name}.tar.xz"
        archive = folder / f"{name}.tar.xz"
        fetch(url, archive, md5, progress=progress)
        n_bytes = archive.stat().st_size
        unpack(archive, folder, name)
        archive.unlink()
        say(f"{name}: downloaded ({n_bytes / 1e6:.1f} MB) and unpacked.")
    return [folder / name for name in wanted]


def fetch(url: str, target: Path, md5: str, *, progress: bool = True) -> None:
    """Download a file; what comes is kept in ``<name>.part``, which is resumed."""
    if target.exists():
        if (found := _md5_of(target)) == md5:
            return
        raise DownloadError(
            f"{target} must have the MD5 sum {md5}; it has {found}. Delete it to "
            "download it again."
        )
    part = target.with_name(f"{target.name}.part")
    resumed = part.exists()
    part.touch()
    longest, failures = part.stat().st_size, 0
    while True:
        try:
            _append_rest(url, part, progress)
            break
        except _DroppedError as error:
            # A line that drops often still gets there, as long as each try adds to it.
            n_bytes = part.stat().st_size
            failures = 0 if n_bytes > longest else failures + 1
            longest = max(longest, n_bytes)
            if failures == TRIES:
                raise DownloadError(
                    f"{url} could not be downloaded in {TRIES} tries: {error}. What "
                    "came is kept; run the same again to go on."
                ) from error
            time.sleep(PAUSE * 2**failures)
    if (found := _md5_of(part)) == md5:
        part.replace(target)
        return
    part.unlink()
    if not resumed:  # else the earlier run may have had it from another server
        raise DownloadError(
            f"{url} must have the MD5 sum {md5}; what came has {found} and was "
            "deleted. Run the same again, or name another mirror as the base URL."
        )
    fetch(url, target, md5, progress=progress)


class _DroppedError(Exception):
    """A try ended before the file was complete; another may resume it."""


@contextmanager
def _dropping() -> Iterator[None]:
    """Tell errors of the connection from those of the disk."""
    try:
        yield
    except HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(str(error) or type(error).__name__) from error


def _append_rest(url: str, part: Path, progress: bool) -> None:
    """Request the bytes that a part lacks and append them."""
    n_kept = part.stat().st_size
    headers = {"User-Agent": f"adlib/{__version__}"}
    if n_kept:
        headers["Range"] = f"bytes={n_kept}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the caller
    try:
        with _dropping():
            response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and n_kept:
            return  # no byte is missing; the checksum tells whether they are right
        answer = f"HTTP {error.code} {error.reason}"
        if error.code in BUSY or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _DroppedError(answer) from error
        raise DownloadError(
            f"{url} cannot be downloaded: {answer}. Look whether the publisher has "
            "moved it, and name another mirror as the base URL."
        ) from error
    with response:
        _append(response, part, progress)


def _append(response: http.client.HTTPResponse, part: Path, progress: bool) -> None:
    resumes = response.status == HTTPStatus.PARTIAL_CONTENT  # else all comes again
    n_kept = part.stat().st_size if resumes else 0
    total = None if response.length is None else n_kept + response.length
    name = part.name.removesuffix(".part")
    needed = (total or 0) - n_kept + int(ROOM_TO_UNPACK * (total or 0))
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise DownloadError(
            f"{part.parent} must have {needed / 1e6:.0f} MB free to get and unpack "
            f"{name}; it has {free / 1e6:.0f} MB. Free some, or choose another disk."
        )
    bar = ProgressBar(f"Downloading {name}", total, enabled=progress, unit="bytes")
    with part.open("ab" if resumes else "wb") as file, bar:
        bar.advance(n_kept)
        while True:
            with _dropping():
                chunk = response.read1(CHUNK)  # as it comes, so that none is lost
            if not chunk:
                break
            file.write(chunk)
            bar.advance(len(chunk))
    n_bytes = part.stat().st_size
    if total is not None and n_bytes < total:
        raise _DroppedError(
            f"the connection broke off after {n_bytes} of {total} bytes"
        )


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()


def unpack(archive: Path, root: Path, name: str) -> None:
    """Unpack the folder ``name`` of a ``.tar.xz`` into ``root``, whole or not at all.

    Python's "data" filter refuses paths and links that lead out of the folder, and
    devices; what lies beside ``name`` is not kept.
    """
    for left in root.glob(f".{name}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(".tmp", f".{name}.", root) as temporary:
        try:
            with tarfile.open(archive, "r:xz") as tar:
                tar.extractall(temporary, filter="data")
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise DownloadError(
                f"{archive} cannot be unpacked ({type(error).__name__}: {error}). "
                "Delete it to download it again."
            ) from error
        unpacked = Path(temporary, name)
        if not unpacked.is_dir():
            raise DownloadError(f"{archive} must hold a folder {name!r}; it has none.")
        unpacked.rename(root / name)
