"""A small set in MVTec AD's layout that this machine makes, and keeps, by itself."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adlib._progress import ProgressBar
from adlib.datasets._cache import cache_folder
from adlib.datasets._samples import GOOD

if TYPE_CHECKING:
    from PIL import Image

    from adlib._typing import UInt8Array
    from adlib.datasets._defects import Flawed
    from adlib.datasets._textures import Texture

VERSION = 1  # of the pictures: raise it with any change to them
SEED = 42
CLASSES = ("brick", "grass", "gravel")
KINDS = ("crack", "hole", "patch", "stain", "thread")
N_TRAINING, N_GOOD, N_DEFECTS = 40, 12, 6  # images a class; the last: a kind of defect
MARKER = "demo.json"
FOLDER = f"demo-{VERSION}"
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

    The set takes seconds to make and about 16 MB. It appears whole or not at all; one
    of another version, or with files missing, is made again. Its bytes do not depend on
    threads or on the order of drawing; other releases of NumPy, SciPy or Pillow may
    round or compress a few pictures differently.

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
    folder = cache_folder() if cache is None else Path(cache)
    root = folder / FOLDER
    if not _fits(root):
        _check_replaceable(root)
        folder.mkdir(parents=True, exist_ok=True)
        with _folder_beside(root) as temporary:
            _build(temporary)
            _put(temporary, root)
    return root


def _fits(root: Path) -> bool:
    """Whether the whole set of this version is there."""
    marker = _marker(root)
    expected = {"version": VERSION, "seed": SEED, "counts": _counts()}
    if marker is None or any(marker.get(k) != v for k, v in expected.items()):
        return False
    return sum(1 for _ in root.rglob("*.png")) == N_FILES


def _marker(root: Path) -> dict[str, Any] | None:
    """Return what is written beside the pictures, or None: they are not adlib's."""
    try:
        content = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "version" in content else None


def _counts() -> dict[str, Any]:
    kinds = dict.fromkeys(KINDS, N_DEFECTS)
    parts = {"train": {GOOD: N_TRAINING}, "test": {GOOD: N_GOOD, **kinds}}
    return dict.fromkeys(CLASSES, parts)


def _check_replaceable(root: Path) -> None:
    """Raise if what is in the set's place was not made here, and must not go."""
    if root.exists() and _marker(root) is None:
        raise FileExistsError(
            f"{str(root)!r} is not a demo set that adlib made. Move it away, or pass "
            "another cache."
        )


@contextmanager
def _folder_beside(root: Path) -> Iterator[Path]:
    """Give a new folder beside ``root`` and leave none behind."""
    temporary = root.with_name(f".{root.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(built: Path, root: Path) -> None:
    """Move a whole set into its place, unless another process was quicker."""
    if _fits(root):
        return
    if root.exists():
        _check_replaceable(root)
        with _folder_beside(root) as aside:  # a damaged or older one
            root.rename(aside / root.name)
    try:
        built.rename(root)
    except OSError:  # a folder that is not empty is never renamed over
        if not _fits(root):
            raise


def _build(root: Path) -> None:
    """Write all pictures, masks and at last the marker."""
    from adlib.datasets._textures import load_textures  # noqa: PLC0415 - loads SciPy

    textures = load_textures()
    n_images = N_FILES - len(CLASSES) * N_DEFECTS * len(KINDS)
    hashes = {}
    with ProgressBar("Making the demo set", n_images) as bar:
        for name in CLASSES:
            for path, picture in _pictures(textures, name):
                target = root / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                picture.save(target, compress_level=FAST)
                content = target.read_bytes()
                hashes[f"{name}/{path}"] = hashlib.sha256(content).hexdigest()
                if not path.startswith("ground_truth"):
                    bar.advance(note=name)
    whole = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
    marker = {
        "version": VERSION,
        "seed": SEED,
        "counts": _counts(),
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }
    (root / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _pictures(
    textures: dict[str, Texture], name: str
) -> Iterator[tuple[str, Image.Image]]:
    """Yield the files of a class: where each goes, and what it shows."""
    from PIL import Image  # noqa: PLC0415 - read_samples needs none

    for part, count in (("train", N_TRAINING), ("test", N_GOOD)):
        for i in range(count):
            image = normal_image(textures[name], part, i)
            yield f"{part}/{GOOD}/{i:03d}.png", Image.fromarray(image)
    for kind in KINDS:
        for i in range(N_DEFECTS):
            flawed = flawed_image(textures, name, kind, i)
            yield f"test/{kind}/{i:03d}.png", Image.fromarray(flawed.image)
            mask = np.where(flawed.mask, np.uint8(255), np.uint8(0))
            yield f"ground_truth/{kind}/{i:03d}_mask.png", Image.fromarray(mask)


def normal_image(texture: Texture, part: str, index: int) -> UInt8Array:
    """Return a normal image to train or to test with, (height, width, 3)."""
    from adlib.datasets._textures import cut, develop  # noqa: PLC0415 - loads SciPy

    rng = _generator(texture.name, part, index)
    grey = cut(texture.train if part == "train" else texture.test, rng)
    return develop(grey, texture.name, rng)


def flawed_image(
    textures: dict[str, Texture], name: str, kind: str, index: int
) -> Flawed:
    """Return a test image with a defect, its normal original and its mask."""
    from adlib.datasets._defects import add_defect  # noqa: PLC0415 - loads SciPy
    from adlib.datasets._textures import cut, develop  # noqa: PLC0415

    rng = _generator(name, kind, index)
    clean = develop(cut(textures[name].test, rng), name, rng)
    # Two patches are of each other class, in the colours of this one, and two of the
    # class itself, rotated and closer; none of these is small, or nobody could see it.
    place = CLASSES.index(name)
    origin = textures[CLASSES[(place + 1 + index // 2) % len(CLASSES)]].test
    turned = {"turn": rng.uniform(40.0, 140.0), "side": rng.uniform(90.0, 120.0)}
    other = clean
    if kind == "patch":
        other = develop(cut(origin, rng, **turned), name, rng)
    return add_defect(clean, other, name, kind, index, rng)


def _generator(name: str, part: str, index: int) -> np.random.Generator:
    """Return one image's own source of chance, whatever else is drawn."""
    parts = ("train", "test", *KINDS)
    return np.random.default_rng([SEED, CLASSES.index(name), parts.index(part), index])
