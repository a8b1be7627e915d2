"""Download a data set class by class, from its publisher or a mirror."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from adlib._validation import check_option, describe, refusal
from adlib.datasets._archives import check_can_unpack, unpack
from adlib.datasets._fetch import check_url, fetch
from adlib.datasets._mvtec_ad import MVTEC_AD
from adlib.datasets._publication import Publication

Downloadable: TypeAlias = Literal["mvtec-ad"]
DOWNLOADABLE: tuple[Downloadable, ...] = ("mvtec-ad",)
PUBLICATIONS: dict[Downloadable, Publication] = {"mvtec-ad": MVTEC_AD}


def license_notice(dataset: Downloadable) -> str:
    """Return the licence of a data set and the paper to cite."""
    name = check_option(dataset, "dataset", "license_notice", DOWNLOADABLE)
    return PUBLICATIONS[name].notice()


def download(
    dataset: Downloadable,
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

    Note:
        The publisher's addresses and checksums come from public code and were not
        checked against its server, which could not be reached where adlib was written.

    References:
        1. P. Bergmann et al., "MVTec AD", CVPR 2019. The images are under CC BY-NC-SA
           4.0.
    """
    name = check_option(dataset, "dataset", "download", DOWNLOADABLE)
    publication = PUBLICATIONS[name]
    wanted = _check_classes(classes, publication)
    if accept_license is not True:
        rule, terms = (
            "True, which accepts the terms below",
            f"\n\n{publication.notice()}",
        )
        raise ValueError(
            refusal("accept_license", "download", rule, accept_license, terms)
        )
    if base_url is not None:
        check_url(base_url, "base_url", "download")
    check_can_unpack()
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _download_class(class_name, folder, publication, base_url, progress, say)
        for class_name in wanted
    ]


def _download_class(
    class_name: str,
    root: Path,
    publication: Publication,
    base_url: str | None,
    progress: bool,
    say: Callable[[str], None],
) -> Path:
    place = root / class_name
    if place.exists():
        say(f"{class_name}: already there.")
        return place
    url, md5 = publication.archives[class_name]
    if base_url is not None:
        url = f"{base_url.rstrip('/')}/{class_name}.tar.xz"
    archive = root / f"{class_name}.tar.xz"
    fetch(url, archive, md5, progress=progress)
    n_bytes = archive.stat().st_size
    unpack(archive, root, class_name)
    archive.unlink()
    say(f"{class_name}: downloaded ({n_bytes / 1e6:.1f} MB) and unpacked.")
    return place


def _check_classes(
    classes: Sequence[str] | None, publication: Publication
) -> list[str]:
    """Return the classes asked for, each once, or raise with those there are."""
    known = list(publication.archives)
    if classes is None:
        return known
    rule = f"None or a list of some of {', '.join(known)}"
    if isinstance(classes, str) or not len(classes):
        raise ValueError(refusal("classes", "download", rule, describe(classes)))
    for class_name in classes:
        if class_name not in known:
            raise ValueError(refusal("classes", "download", rule, repr(class_name)))
    return list(dict.fromkeys(classes))
