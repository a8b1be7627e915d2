"""Read any image source as a sequence of images that are not loaded yet."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, Union

import numpy as np
from PIL import Image

from adlib._typing import AnyArray, Float32Array
from adlib._validation import describe, refusal
from adlib.exceptions import ImageError
from adlib.images._decode import SUFFIXES, decode, read_image
from adlib.images._pixels import CHANNELS, COLOUR, as_pixels

if TYPE_CHECKING:
    import torch

ImageLike: TypeAlias = Union[
    str, "os.PathLike[str]", Image.Image, AnyArray, "torch.Tensor"
]
Images: TypeAlias = ImageLike | Iterable[Any]

BATCH = 4  # dimensions of a stack of images with channels
KINDS = (
    "a folder, a glob, a path, uint8, uint16 or float arrays (n, h, w) or "
    "(n, h, w, 3), torch tensors (n, 3, h, w), PIL images, or a list, DataLoader or "
    "iterator of these"
)


class Item(NamedTuple):
    """One image of a source: its name, and a function that loads its pixels."""

    name: str
    load: Callable[[], Float32Array]


class Source(NamedTuple):
    """The items of a source in order, and how many there are where that is known."""

    items: Iterable[Item]
    n_items: int | None


def open_source(X: Images, owner: str) -> Source:
    """Return the items of an image source without loading any image.

    Args:
        X: A folder (read recursively, in the order of paths), a glob, one path; an
            array (n, h, w) or (n, h, w, 1, 3 or 4); a tensor (n, 1, 3 or 4, h, w); a
            PIL image; or a list, torch Dataset, DataLoader or iterator of paths,
            images or batches. Of a tuple that such an iterator gives, (image, label,
            ...), the first entry counts; of a mapping, the entry "image".
        owner: What errors call the function that was given ``X``.

    Raises:
        TypeError: ``X`` is nothing that could hold images.
        ValueError: ``X`` is empty, does not exist, or has the wrong shape.
    """
    if isinstance(X, str | os.PathLike):
        paths = _find_files(os.fspath(X), owner)
        return Source([_file_item(path) for path in paths], len(paths))
    if isinstance(X, Image.Image):
        return Source(list(_expand(X, 0)), 1)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS":
        X = X.tolist()
    if isinstance(X, np.ndarray) or _is_tensor(X):
        n_images = _check_stack(X, owner)
        return Source(_stack_items(X, n_images), n_images)
    if isinstance(X, Sequence):
        if len(X) == 0:
            raise ValueError(refusal("X", owner, "at least one image", describe(X)))
        return Source(_stream_items(X), _count(X))
    if isinstance(X, Mapping) or not (
        isinstance(X, Iterable) or hasattr(X, "__getitem__")
    ):
        raise TypeError(refusal("X", owner, KINDS, describe(X)))
    return Source(_stream_items(X), None)


def _find_files(place: str, owner: str) -> list[Path]:
    """Return the image files of a folder, a glob or a path, in the order of paths."""
    path = Path(place)
    if path.is_dir():
        found = [
            Path(folder, file)
            for folder, _, files in os.walk(path)
            for file in files
            if Path(file).suffix.lower() in SUFFIXES and not file.startswith(".")
        ]
        if not found:
            came = f"{place!r}, which holds none (known: {' '.join(sorted(SUFFIXES))})"
            raise ValueError(refusal("X", owner, "a folder with images", came))
        return sorted(found)
    if path.exists():
        return [path]
    found = [Path(match) for match in glob.glob(place, recursive=True)]  # noqa: PTH207
    found = [match for match in found if match.is_file()]
    if not found:
        came = f"{place!r}, where there is nothing"
        raise ValueError(refusal("X", owner, "a folder, a glob or a path", came))
    return sorted(found)


def _check_stack(X: Any, owner: str) -> int:
    """Return how many images an array or a tensor stacks, or raise."""
    if isinstance(X, np.ndarray):
        rule = "an array (n, h, w) or (n, h, w, 3)"
        fits = X.ndim == COLOUR or (X.ndim == BATCH and X.shape[3] in CHANNELS)
        remedy = "For one image pass X[None]; channels come last in arrays."
    else:
        rule = "a tensor (n, 3, h, w)"
        fits = X.ndim == BATCH and X.shape[1] in CHANNELS
        remedy = "For one image pass X[None]; channels come second in tensors."
    if not fits or 0 in X.shape:
        raise ValueError(refusal("X", owner, rule, describe(X), remedy))
    return len(X)


def _count(X: Sequence[Any]) -> int | None:
    """Return the number of images in a sequence, where each entry is one for sure."""
    single = all(isinstance(entry, str | os.PathLike | Image.Image) for entry in X)
    return len(X) if single else None


def _stack_items(X: Any, n_images: int) -> Iterator[Item]:
    for position in range(n_images):
        yield _array_item(X[position], f"image {position}")


def _stream_items(X: Any) -> Iterator[Item]:
    # torch's Datasets count through __getitem__ and need not raise IndexError.
    entries = X if isinstance(X, Iterable) else (X[i] for i in range(len(X)))
    position = 0
    for entry in entries:
        for item in _expand(entry, position):
            yield item
            position += 1


def _expand(entry: Any, position: int) -> Iterator[Item]:
    """Yield the images of one entry of a list or a stream: one, or a batch of them."""
    if isinstance(entry, str | os.PathLike):
        yield _file_item(Path(entry))
    elif isinstance(entry, Image.Image):
        name = f"image {position}"
        yield Item(name, partial(_load_pil, entry, name))
    elif isinstance(entry, np.ndarray) or _is_tensor(entry):
        if _is_batch(entry):
            for offset in range(len(entry)):
                yield _array_item(entry[offset], f"image {position + offset}")
        else:
            yield _array_item(entry, f"image {position}")
    elif isinstance(entry, Mapping) and "image" in entry:
        yield from _expand(entry["image"], position)
    elif isinstance(entry, list) and entry and all(map(_is_single, entry)):
        for offset, image in enumerate(entry):
            yield from _expand(image, position + offset)
    elif isinstance(entry, list | tuple) and entry:
        yield from _expand(entry[0], position)
    else:
        raise TypeError(
            f"image {position} of X must be a path, a PIL image, an array or a tensor; "
            f"got {describe(entry)}."
        )


def _is_single(entry: Any) -> bool:
    return isinstance(entry, str | os.PathLike | Image.Image)


def _is_batch(entry: Any) -> bool:
    """Tell a stack of images from one image, by its shape."""
    if entry.ndim != COLOUR:
        return bool(entry.ndim > COLOUR)
    channels = entry.shape[0] if _is_tensor(entry) else entry.shape[2]
    return channels not in CHANNELS


def _is_tensor(X: Any) -> TypeGuard[torch.Tensor]:
    """Ask whether X is a torch tensor, without importing torch for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def _file_item(path: Path) -> Item:
    return Item(str(path), partial(_load_file, path))


def _array_item(image: Any, name: str) -> Item:
    return Item(name, partial(_load_array, image, name))


def _load_file(path: Path) -> Float32Array:
    return as_pixels(read_image(path), str(path))


def _load_pil(image: Image.Image, name: str) -> Float32Array:
    try:
        return as_pixels(decode(image), name)
    except OSError as error:  # PIL decodes lazily: a broken file shows here
        raise ImageError(f"{name} cannot be decoded ({error}).") from error


def _load_array(image: Any, name: str) -> Float32Array:
    if _is_tensor(image):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
        if image.ndim == COLOUR:
            image = np.moveaxis(image, 0, 2)
    return as_pixels(image, name)
