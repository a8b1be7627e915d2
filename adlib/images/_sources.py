"""Read any image source as a sequence of images that are not loaded yet."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
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
    """One image of a source: where in it, its name, and what loads its pixels."""

    position: int
    name: str
    load: Callable[[], Float32Array]


class Source(NamedTuple):
    """The images of a source in order, none of them loaded yet.

    Attributes:
        items: For each image its position in the source, its name and what loads its
            pixels; to be iterated once.
        n_items: How many there are, where that is known without reading; else None.
    """

    items: Iterable[Item]
    n_items: int | None


def open_source(X: Images, owner: str) -> Source:
    """Return the items of an image source without loading any image.

    Args:
        X: A folder (read recursively, in the order of paths; links to folders are not
            followed, so that loops do not matter), a glob, one path; an
            array (n, h, w) or (n, h, w, 1, 3 or 4); a tensor (n, 1, 3 or 4, h, w); a
            PIL image; or a list, torch Dataset, DataLoader or iterator of paths,
            images or batches. Of a tuple that such an iterator gives, (image, label,
            ...), the first entry counts; of a mapping, the entry "image". A field
            "image_path" of a named tuple or a mapping names the images. A ``Source`` is
            returned as it is.
        owner: What errors call the function that was given ``X``.

    Returns:
        The items, and their number where each entry of ``X`` is one image for sure.
        Images without a path are called "image 0", "image 1" and so on.

    Raises:
        TypeError: ``X`` is nothing that could hold images, or a set, whose order would
            differ from run to run; or, once iterated, an entry is no image.
        ValueError: ``X`` is empty, does not exist, or has the wrong shape.
        ImageError: A folder inside of ``X`` cannot be read.

    Note:
        Arrays that an iterator hands out are copied, since it may fill one buffer again
        and again; those of a list or a stack are not.

    Example:
        >>> import numpy as np
        >>> from adlib.images import open_source
        >>> source = open_source(np.zeros((2, 8, 8), np.uint8), "example")
        >>> [item.name for item in source.items], source.n_items
        (['image 0', 'image 1'], 2)
    """
    if isinstance(X, Source):
        return X
    if isinstance(X, str | os.PathLike):
        paths = _find_files(os.fspath(X), owner)
        items = [_file_item(i, path) for i, path in enumerate(paths)]
        return Source(items, len(paths))
    if isinstance(X, Image.Image):
        return Source(_stream_items([X]), 1)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim > 0:
        X = X.tolist()
    if isinstance(X, np.ndarray) or _is_tensor(X):
        n_images = _check_stack(X, owner)
        return Source(_stack_items(X, n_images), n_images)
    if isinstance(X, Sequence):
        if len(X) == 0:
            raise ValueError(refusal("X", owner, "at least one image", describe(X)))
        return Source(_stream_items(X), _count(X))
    if isinstance(X, Set):
        rule = "in an order that is the same in every run"
        raise TypeError(refusal("X", owner, rule, describe(X), "Pass sorted(X)."))
    if isinstance(X, Mapping) or not (
        isinstance(X, Iterable) or hasattr(X, "__getitem__")
    ):
        raise TypeError(refusal("X", owner, KINDS, describe(X)))
    return Source(_stream_items(X), None)


def _find_files(place: str, owner: str) -> list[Path]:
    """Return the image files of a folder, a glob or a path, in the order of paths."""
    path = Path(place)
    if not place:
        raise ValueError(refusal("X", owner, "a folder, a glob or a path", "''"))

    def refuse(error: OSError) -> None:
        """Stop at a folder that cannot be read: its images would be missing."""
        came = f"{error.filename!r}, which cannot be read ({error.strerror})"
        raise ImageError(refusal("X", owner, "folders that can be read", came))

    if path.is_dir():
        found = [
            Path(folder, file)
            for folder, _, files in os.walk(path, onerror=refuse)
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
        # (h, w, 3) is one colour image far more often than h images three wide.
        grey = X.ndim == COLOUR and X.shape[2] not in CHANNELS
        fits = grey or (X.ndim == BATCH and X.shape[3] in CHANNELS)
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
    return len(X) if all(map(_is_single, X)) else None


def _stack_items(X: Any, n_images: int) -> Iterator[Item]:
    for position in range(n_images):
        yield _array_item(position, X[position])


def _stream_items(X: Any) -> Iterator[Item]:
    # torch's Datasets count through __getitem__ and need not raise IndexError.
    entries = X if isinstance(X, Iterable) else (X[i] for i in range(len(X)))
    # A stream may fill one buffer again and again; a sequence's entries are its own.
    reused = not isinstance(X, Sequence)
    position = 0
    for entry in entries:
        for item in _expand(entry, position):
            yield _detached(item) if reused else item
            position += 1


def _expand(entry: Any, position: int) -> Iterator[Item]:
    """Yield the images of one entry of a list or a stream: one, or a batch of them."""
    if isinstance(entry, str | os.PathLike):
        yield _file_item(position, Path(entry))
    elif isinstance(entry, Image.Image):
        yield _pil_item(position, entry)
    elif isinstance(entry, np.ndarray) or _is_tensor(entry):
        if _is_batch(entry):
            for offset in range(len(entry)):
                yield _array_item(position + offset, entry[offset])
        else:
            yield _array_item(position, entry)
    elif isinstance(entry, Mapping) and "image" in entry:
        items = _expand(entry["image"], position)
        yield from _named(items, entry.get("image_path"))
    elif isinstance(entry, list) and entry and all(map(_is_single, entry)):
        for offset, image in enumerate(entry):
            yield from _expand(image, position + offset)
    elif isinstance(entry, list) and len(entry) > 1 and all(map(_is_array, entry)):
        # [frame, frame] or [image, mask]? What cannot be known is not guessed.
        raise TypeError(
            f"image {position} of X must not be a list of single arrays; got "
            f"{len(entry)} of them, {describe(entry[0])} first. Stack images into one "
            'array, or give {"image": ..., "mask": ...}.'
        )
    elif isinstance(entry, list | tuple) and entry:
        first = entry[0]
        batch = list(first) if isinstance(first, tuple) else first
        items = _expand(batch, position)
        yield from _named(items, getattr(entry, "image_path", None))
    else:
        raise TypeError(
            f"image {position} of X must be a path, a PIL image, an array or a tensor; "
            f"got {describe(entry)}."
        )


def _named(items: Iterator[Item], paths: Any) -> Iterator[Item]:
    """Give the images of one entry the paths that it came with, if there are any."""
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths or [])
    for number, item in enumerate(items):
        load = item.load
        if (
            number < len(names)
            and isinstance(load, partial)
            and load.func is _load_array
        ):
            yield _array_item(item.position, load.args[0], str(names[number]))
        else:
            yield item


def _is_single(entry: Any) -> bool:
    return isinstance(entry, str | os.PathLike | Image.Image)


def _is_array(entry: Any) -> bool:
    """Ask whether an entry is one image as an array or a tensor."""
    array = isinstance(entry, np.ndarray) or _is_tensor(entry)
    return array and entry.ndim > 1 and not _is_batch(entry)


def _is_batch(entry: Any) -> bool:
    """Tell a stack of images from one image, by its shape."""
    if entry.ndim != COLOUR:
        return bool(entry.ndim > COLOUR)
    # A tensor of three dimensions is one image: three grey ones look like a colour one.
    return not _is_tensor(entry) and entry.shape[2] not in CHANNELS


def _is_tensor(X: Any) -> TypeGuard[torch.Tensor]:
    """Ask whether X is a torch tensor, without importing torch for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def _file_item(position: int, path: Path) -> Item:
    return Item(position, str(path), partial(_load_file, path))


def _array_item(position: int, image: Any, name: str | None = None) -> Item:
    name = name or f"image {position}"
    return Item(position, name, partial(_load_array, image, name))


def _pil_item(position: int, image: Image.Image) -> Item:
    """Decode a PIL image now: it reads its file lazily, and not for several threads."""
    name = f"image {position}"
    try:
        return _array_item(position, decode(image))
    except ImageError as error:
        reason = f"{name}: {error}"
    except Exception as error:  # PIL's decoders raise many kinds on broken files
        reason = f"{name} cannot be decoded ({type(error).__name__}: {error})."
    return Item(position, name, partial(_fail, reason))


def _detached(item: Item) -> Item:
    """Return an item whose array is its own, so that nobody can change it meanwhile."""
    load = item.load
    if not isinstance(load, partial) or load.func is not _load_array:
        return item
    image = load.args[0]
    own = image.clone() if _is_tensor(image) else image.copy()
    return _array_item(item.position, own, item.name)


def _load_file(path: Path) -> Float32Array:
    return as_pixels(read_image(path), str(path))


def _fail(reason: str) -> Float32Array:
    raise ImageError(reason)


def _load_array(image: Any, name: str) -> Float32Array:
    if _is_tensor(image):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
        if image.ndim == COLOUR:
            image = np.moveaxis(image, 0, 2)
    return as_pixels(image, name)
