"""Find the files among a class's images and masks that belong to no sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from adlib.datasets._layouts import (
    LAYOUTS,
    FolderLayout,
    Layout,
    image_files,
    subfolders,
)
from adlib.datasets._problems import Problem
from adlib.datasets._samples import ANOMALOUS, Sample
from adlib.images._folders import is_hidden, is_image_name


class Places(NamedTuple):
    """The folders of a class, with what lies under them: images and masks."""

    images: list[Path]
    masks: list[Path]


def places_of(root: Path, name: str, layout: Layout, samples: list[Sample]) -> Places:
    """Return where a class keeps its images and masks."""
    if layout in LAYOUTS:
        parts = LAYOUTS[layout].parts
        masks = [root / name / part.masks for part in parts if part.masks is not None]
        return Places([root / name / part.folder for part in parts], masks)
    if layout == "folder":
        return Places(subfolders(root), [])
    masks_named = {s.mask_path.parent for s in samples if s.mask_path is not None}
    return Places(
        sorted({sample.image_path.parent for sample in samples}), sorted(masks_named)
    )


def find_strays(
    name: str, places: Places, layout: Layout, samples: list[Sample]
) -> Iterator[Problem]:
    """Yield masks of no image, images that are not read, and what is no image.

    Hidden files are left out; so are masks of normal images.
    """
    images = {sample.image_path for sample in samples}
    masks = set(_mask_files(samples))
    masks |= _of_good(places, LAYOUTS.get(layout), samples)
    in_masks = set(_files(places.masks))
    for path in sorted({*in_masks, *_files(places.images)}):
        if path in images or path in masks:
            continue
        if not is_image_name(path):
            text = "lies among the images and has no image's suffix"
            yield Problem(name, "not an image", path, text)
        elif path in in_masks:
            yield Problem(name, "orphan mask", path, "is the mask of no image")
        else:
            text = "lies where no image is looked for"
            yield Problem(name, "unread image", path, text)


def find_broken_classes(
    root: Path, layout: FolderLayout, known: Sequence[str]
) -> Iterator[Problem]:
    """Yield folders that look like classes and have no training images."""
    marks = {part.folder for part in layout.parts}
    for folder in subfolders(root):
        if folder.name in known:
            continue
        if any((folder / mark).is_dir() for mark in marks):
            missing = folder / layout.parts[0].folder / layout.good
            text = "is missing, so that the class is not read"
            yield Problem(folder.name, "no training images", missing, text)


def _mask_files(samples: Iterable[Sample]) -> Iterator[Path]:
    for sample in samples:
        if sample.mask_path is not None and sample.mask_path.is_dir():
            yield from image_files(sample.mask_path)
        elif sample.mask_path is not None:
            yield sample.mask_path


def _of_good(
    places: Places, layout: FolderLayout | None, samples: Iterable[Sample]
) -> set[Path]:
    """Return the masks that some publishers store for normal test images."""
    if layout is None:
        return set()
    stems = {sample.image_path.stem for sample in samples if sample.label != ANOMALOUS}
    return {
        path
        for folder in places.masks
        for path in image_files(folder / layout.good)
        if path.stem.removesuffix(layout.mask_stem) in stems
    }


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield what is not hidden under some folders."""
    for folder in folders:
        for path in folder.rglob("*"):
            if not is_hidden(path.relative_to(folder)) and path.is_file():
                yield path
