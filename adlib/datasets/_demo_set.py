"""A small set in MVTec AD's layout that this machine makes, and keeps, by itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from platformdirs import user_cache_path

from adlib._progress import ProgressBar
from adlib._typing import UInt8Array
from adlib.datasets._demo_pictures import (
    CLASSES,
    DEFECTS,
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
N_FILES = len(CLASSES) * (N_TRAINING + N_GOOD + 2 * N_DEFECTS * len(KINDS))
FAST = 1  # compression level: the noise in the pictures leaves little to gain


def demo_root(cache: str | Path | None = None) -> Path:
    """Return the folder of a demo set in MVTec AD's layout, made at the first call.

    It has three classes, brick, grass and gravel: 40 normal RGB images each of 192x192
    to train with, and to test with 12 normal ones and 6 of each of five kinds of
    defects, with masks. They are cut from real photographs, and their light, colours,
    focus and noise vary. Training and test images come from different columns of the
    photographs, 16 apart, so that no pixel of a test image was seen in training. The
    defects are drawn: outside of the mask the image is as it was. The set shows how
    things work; results on it say nothing about real parts.

    It takes seconds to make and about 16 MB, and appears whole or not at all; one with
    files missing is made again. Other releases of NumPy, SciPy or Pillow may round or
    compress a few pictures differently.

    Args:
        cache: Where to keep it; None: ``$ADLIB_CACHE``, else the platform's
            folder for caches, such as ``~/.cache/adlib``.

    Returns:
        A folder in ``cache``, for ``read_samples``.

    Raises:
        ImportError: The set is still to be made and scikit-image is not installed.
        FileExistsError: Something that adlib did not make is in its place.

    References:
        1. The photographs lie in scikit-image's package (``skimage.data.brick``,
           ``grass`` and ``gravel``). They are from CC0Textures (Bricks25, Gravel04) and
           DeviantArt (linolafett, Grass 01), all under CC0 1.0.
    """
    if cache is None:
        own = user_cache_path("adlib", appauthor=False)
        cache = os.environ.get("ADLIB_CACHE") or own
    folder = Path(cache).expanduser().absolute()
    root = folder / FOLDER
    if _is_whole(root):
        return root
    if root.exists() and not (root / MARKER).is_file():
        raise FileExistsError(
            f"{str(root)!r} is not a demo set that adlib made. Move it away, or pass "
            "another cache."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{FOLDER}.", folder) as temporary:
        built = Path(temporary, "built")
        _build(built)
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
    return (root / MARKER).is_file() and len(list(root.rglob("*.png"))) == N_FILES


def _build(root: Path) -> None:
    """Write all pictures, masks and at last the marker."""
    textures = load_textures()
    with ProgressBar("Making the demo set", N_FILES) as bar:
        for name in CLASSES:
            for path, picture in _pictures(textures, name):
                target = root / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(target, compress_level=FAST)
                bar.advance(note=name)
    (root / MARKER).touch()


def _pictures(
    textures: dict[str, Texture], name: str
) -> Iterator[tuple[str, UInt8Array]]:
    """Yield the files of a class: where each goes, and what it shows."""
    for part, count in (("train", N_TRAINING), ("test", N_GOOD)):
        for i in range(count):
            yield f"{part}/{GOOD}/{i:03d}.png", normal_image(textures[name], part, i)
    for kind in KINDS:
        for i in range(N_DEFECTS):
            flawed = flawed_image(textures, name, kind, i)
            yield f"test/{kind}/{i:03d}.png", flawed.image
            mask = np.where(flawed.mask, np.uint8(255), np.uint8(0))
            yield f"ground_truth/{kind}/{i:03d}_mask.png", mask
