"""Sets in MVTec AD's layout that this machine makes, and keeps, by itself."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from platformdirs import user_cache_path

from adlib._progress import ProgressBar
from adlib._typing import UInt8Array
from adlib._validation import check_int
from adlib.datasets import _demo_parts
from adlib.datasets._demo_pictures import (
    CLASSES,
    DEFECTS,
    SIZE,
    Flawed,
    Texture,
    flawed_image,
    load_textures,
    normal_image,
)
from adlib.datasets._samples import GOOD

KINDS = tuple(DEFECTS)
N_TRAINING, N_GOOD, N_DEFECTS = 40, 12, 6  # images a class; the last: a kind of defect
MARKER = "demo.json"  # tells that adlib made the set; is written last
FOLDER = "demo-1"  # the version of the pictures: raise it with any change to them
PLATES = "demo-plates-1"  # and that of the large set's
N_FILES = len(CLASSES) * (N_TRAINING + N_GOOD + 2 * N_DEFECTS * len(KINDS))
N_PLATES, N_GOOD_PLATES = 24, 12  # the same of the large set, whose defects are as many
SMALLEST, LARGEST = 1024, 8192  # sides of a plate's image, in pixels
TABLE = "defects.csv"  # of the large set: what each defect measures
FAST = 1  # compression level: the noise in the pictures leaves little to gain


def demo_root(cache: str | Path | None = None, *, size: int = SIZE) -> Path:
    """Return the folder of a demo set in MVTec AD's layout, made at the first call.

    The small set has three classes, brick, grass and gravel: 40 normal RGB images each
    of 192x192 to train with, and to test with 12 normal ones and 6 of each of five
    kinds of defects, with masks. They are cut from real photographs, and their light,
    colours, focus and noise vary. Training and test images come from different columns
    of the photographs, 16 apart, so that no pixel of a test image was seen in training.
    The defects are drawn: outside of the mask the image is as it was. The set shows how
    things work; results on it say nothing about real parts.

    With another size, such as 2048, it is a set of drawn metal plates under a fixed
    light, whose brushing differs from plate to plate. It has two classes, aligned (in
    the same place within 2 pixels) and turned (by any angle): 24 normal grey images to
    train with, and to test with 12 normal ones and 6 of each of the same kinds of
    defects, of about 6, 10, 15, 24, 38 and 60 pixels whatever the size of the image.
    ``defects.csv`` in the folder has a row for each: class, image and kind; its longer
    side and area in pixels; its contrast (mean difference from the plate, as a share of
    white); and its box.

    The small set takes seconds to make and about 16 MB; that of 2048 pixels minutes,
    270 MB, and 450 MB of memory. A set appears whole or not at all; one with files
    missing is made again. Other releases of NumPy, SciPy or Pillow may round or
    compress a few pictures differently.

    Args:
        cache: Where to keep it; None: ``$ADLIB_CACHE``, else the platform's
            folder for caches, such as ``~/.cache/adlib``.
        size: Height and width of the images: 192, or from 1024 to 8192.

    Returns:
        A folder in ``cache``, for ``read_samples``.

    Raises:
        ImportError: The small set is to be made and scikit-image is not installed.
        TypeError, ValueError: ``size`` is not as stated.
        FileExistsError: Something that adlib did not make is in its place.

    References:
        1. The photographs lie in scikit-image's package (``skimage.data.brick``,
           ``grass`` and ``gravel``). They are from CC0Textures (Bricks25, Gravel04) and
           DeviantArt (linolafett, Grass 01), all under CC0 1.0.
    """
    if size != SIZE:
        size = check_int(size, "size", "demo_root", low=SMALLEST, high=LARGEST)
    if cache is None:
        own = user_cache_path("adlib", appauthor=False)
        cache = os.environ.get("ADLIB_CACHE") or own
    folder = Path(cache).expanduser().absolute()
    name = FOLDER if size == SIZE else f"{PLATES}-{size}"
    root = folder / name
    if _is_whole(root):
        return root
    if root.exists() and not (root / MARKER).is_file():
        raise FileExistsError(
            f"{str(root)!r} is not a demo set that adlib made. Move it away, or pass "
            "another cache."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{name}.", folder) as temporary:
        built = Path(temporary, "built")
        if size == SIZE:
            _build(built)
        else:
            _build_plates(built, size)
        if root.exists() and not _is_whole(root):
            root.rename(Path(temporary, "old"))
        try:
            built.rename(root)
        except OSError:  # there already: another process was quicker
            if not _is_whole(root):
                raise
    return root


def _is_whole(root: Path) -> bool:
    """Whether the whole set is there."""
    n_files = N_FILES if root.name == FOLDER else _n_plate_files()
    return (root / MARKER).is_file() and len(list(root.rglob("*.png"))) == n_files


def _n_plate_files() -> int:
    n_images = N_PLATES + N_GOOD_PLATES + 2 * N_DEFECTS * len(KINDS)
    return len(_demo_parts.CLASSES) * n_images


def _build(root: Path) -> None:
    """Write all pictures, masks and at last the marker."""
    textures = load_textures()
    with ProgressBar("Making the demo set", N_FILES) as bar:
        for name in CLASSES:
            for path, picture in _pictures(textures, name):
                _write(picture, root / name / path)
                bar.advance(note=name)
    (root / MARKER).touch()


def _build_plates(root: Path, size: int) -> None:
    """Write all pictures of plates, one at a time; masks, table, at last the marker."""
    rows = []
    with ProgressBar("Making the demo set", _n_plate_files()) as bar:
        for name in _demo_parts.CLASSES:
            for part, count in (("train", N_PLATES), ("test", N_GOOD_PLATES)):
                for i in range(count):
                    rng = _demo_parts.plate_generator(name, part, i)
                    made = _demo_parts.plate(size, name, rng).image
                    _write(made, root / name / part / GOOD / f"{i:03d}.png")
                    bar.advance(note=name)
            for kind in KINDS:
                for i in range(N_DEFECTS):
                    flawed = _demo_parts.flawed_plate(size, name, kind, i)
                    for path, picture in _flawed_files(flawed, kind, i):
                        _write(picture, root / name / path)
                        bar.advance(note=name)
                    place = {"class": name, "image": f"test/{kind}/{i:03d}.png"}
                    measured = _demo_parts.defect_rows(flawed)
                    rows.append({**place, "kind": kind, **dict(measured)})
    with (root / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    (root / MARKER).touch()


def _write(picture: UInt8Array, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(target, compress_level=FAST)


def _pictures(
    textures: dict[str, Texture], name: str
) -> Iterator[tuple[str, UInt8Array]]:
    """Yield the files of a class: where each goes, and what it shows."""
    for part, count in (("train", N_TRAINING), ("test", N_GOOD)):
        for i in range(count):
            yield f"{part}/{GOOD}/{i:03d}.png", normal_image(textures[name], part, i)
    for kind in KINDS:
        for i in range(N_DEFECTS):
            yield from _flawed_files(flawed_image(textures, name, kind, i), kind, i)


def _flawed_files(
    flawed: Flawed, kind: str, index: int
) -> Iterator[tuple[str, UInt8Array]]:
    """Yield an image with a defect and its mask, and where each goes."""
    yield f"test/{kind}/{index:03d}.png", flawed.image
    mask = np.where(flawed.mask, np.uint8(255), np.uint8(0))
    yield f"ground_truth/{kind}/{index:03d}_mask.png", mask
