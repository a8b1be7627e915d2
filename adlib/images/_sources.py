"""Read any image source as a sequence of images that are not loaded yet."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, Union

import numpy as np
from PIL import Image

from adlib._typing import AnyArray, Float32Array
from adlib._validation import describe, refusal
from adlib.exceptions import ImageError
from adlib.images._decode import decode, read_content, read_image
from adlib.images._folders import find_images, is_image_name
from adlib.images._pixels import (
    CHANNELS,
    COLOUR,
    PLAIN,
    PixelFormat,
    UsedRange,
    as_shares,
    checked,
)

if TYPE_CHECKING:
    import torch

Images: TypeAlias = Union[
    str, "os.PathLike[str]", Image.Image, "torch.Tensor", Iterable[Any], "Source"
]
Find: TypeAlias = Callable[[str], list[Path]]  # the images of a folder or a glob
Stacks: TypeAlias = set[tuple[int, ...]]  # sizes of grey images that came stacked

BATCH = 4  # dimensions of a stack of images with channels
UNDECODED = {"bytes", "path"}  # of Hugging Face's datasets with Image(decode=False)
KINDS = (
    "a folder, a glob, a path, uint8, uint16 or float arrays (n, h, w) or "
    "(n, h, w, 3 or 4), torch tensors (n, 3 or 4, h, w), PIL images, or a list, "
    "DataLoader or iterator of these"
)


class Item(NamedTuple):
    """One image of a source, not loaded yet."""

    position: int  # where in the source it is, 0 the first
    name: str  # its path, or "image 7"
    image: Any  # a path, an array, a tensor, a function that returns an array when it
    # is needed (or raises ImageError), or why it cannot be decoded
    is_rgb: bool = True  # whether the order of its colours is known: not of arrays


@dataclass(frozen=True)
class Source:
    """The images of a source in order, none of them loaded yet.

    Attributes:
        items: An ``Item`` for each image; to be iterated once if ``X`` is an iterator.
        n_items: How many there are, where that is known without reading; else None.
        pixel_format: What the numbers of its images mean.
        used_range: What the 16-bit images that were loaded so far use of their range.

    Example:
        >>> import numpy as np
        >>> from adlib.images import open_source
        >>> source = open_source(np.full((1, 8, 8), 51, np.uint8), "example")
        >>> float(source.load(next(iter(source.items)))[0, 0])
        0.20000000298023224
    """

    items: Iterable[Item]
    n_items: int | None
    pixel_format: PixelFormat
    used_range: UsedRange

    @classmethod
    def of(cls, items: Sequence[Item], pixel_format: PixelFormat, owner: str) -> Source:
        """Return a source of items that are all there.

        Args:
            items: An ``Item`` for each image.
            pixel_format: What the numbers of its images mean.
            owner: Who asks for it, named in errors.

        Returns:
            The source; it knows how many images it has.
        """
        used_range = UsedRange(pixel_format, owner)
        return cls(items, len(items), pixel_format, used_range)

    def load(self, item: Item) -> Float32Array:
        """Return the pixels of one image.

        Args:
            item: One of ``items``.

        Returns:
            Grey (h, w) or RGB (h, w, 3), float32 in [0, 1].

        Raises:
            ImageError: The image is unusable.
        """
        return as_shares(self.read(item))

    def read(self, item: Item) -> AnyArray:
        """Return the pixels of one image as ``load`` does, but bytes as they are.

        Args:
            item: One of ``items``.

        Returns:
            Grey (h, w) or RGB (h, w, 3); uint8, or float32 in [0, 1].

        Raises:
            ImageError: The image is unusable.
        """
        image = item.image
        if isinstance(image, ImageError):
            raise image
        if isinstance(image, Path):
            image = read_image(image)
        elif callable(image):
            image = image()
        elif _is_tensor(image):
            image = image.detach().cpu()
            image = (image.float() if image.is_floating_point() else image).numpy()
            if image.ndim == COLOUR:
                image = np.moveaxis(image, 0, 2)
        self.used_range.note(image)
        color = "rgb" if item.is_rgb else self.pixel_format.color
        return checked(image, item.name, self.pixel_format._replace(color=color))


def found_anywhere(item: Item) -> Item:
    """Return an item that is found from any working folder, with the same name."""
    if isinstance(item.image, Path):
        return item._replace(image=item.image.absolute())
    return item


class Again:
    """An iterable that starts again each time."""

    def __init__(self, start: Callable[[], Iterator[Item]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Item]:
        return self._start()


def open_source(
    X: Images,
    owner: str,
    pixel_format: PixelFormat = PLAIN,
    *,
    good_alone: bool = False,
) -> Source:
    """Return the items of an image source without loading any image.

    Args:
        X: A folder (read recursively, in the order of paths; links to folders are not
            followed), a glob, one path; an array (n, h, w) or (n, h, w, 1, 3 or 4); a
            tensor (n, 1, 3 or 4, h, w); a PIL image; or a list, torch Dataset,
            DataLoader or iterator of folders, globs, paths, images or batches. Of a
            tuple (image, label, ...) the first entry counts, of a mapping the entry
            "image"; a field "image_path" of either names the images. A mapping of
            "bytes" and "path" is a file. A ``Source`` keeps its items.
        owner: What errors call the function that was given ``X``.
        pixel_format: What the numbers of arrays and of 16-bit images mean.
        good_alone: Refuse folders of defects among the images, as far as names tell.

    Returns:
        The items, and their number where each entry of ``X`` is surely one image.
        Images without a path have the names "image 0", "image 1" and so on.

    Raises:
        TypeError: ``X`` is nothing that could hold images, or a set, whose order would
            differ from run to run; or, once iterated, an entry is no image.
        ValueError: ``X`` is empty, does not exist, has the wrong shape, or is a folder
            in which masks, or with ``good_alone`` defects, lie beside the images.
        ImageError: A folder inside of ``X`` cannot be read.

    Warns:
        InputWarning: A folder or glob holds other files or linked folders; counts them.

    Note:
        Arrays of an iterator are copied, since it may reuse one buffer; those of a list
        or a stack are not. Hidden files and folders, and those that systems write
        (``__MACOSX``, ``@eaDir``), are ignored.

    Example:
        >>> import numpy as np
        >>> from adlib.images import open_source
        >>> source = open_source(np.zeros((2, 8, 8), np.uint8), "example")
        >>> [item.name for item in source.items], source.n_items
        (['image 0', 'image 1'], 2)
    """
    if isinstance(X, Source):
        items, n_items = X.items, X.n_items
    else:
        find = partial(find_images, owner=owner, good_alone=good_alone)
        items, n_items = _items(X, owner, find)
    return Source(items, n_items, pixel_format, UsedRange(pixel_format, owner))


def _items(X: Images, owner: str, find: Find) -> tuple[Iterable[Item], int | None]:
    """Return the items of a source, and how many there are where that is sure."""
    if isinstance(X, str | os.PathLike):
        X = find(os.fspath(X))
    elif isinstance(X, Image.Image):
        X = [X]
    elif isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 1:
        X = X.tolist()
    if _is_dense(X):
        n_images = _check_stack(X, owner)
        return [_item(i, X[i]) for i in range(n_images)], n_images
    remedy = _remedy(X)
    if (
        remedy
        or isinstance(X, Mapping | bytes | bytearray)
        or not (isinstance(X, Iterable) or hasattr(X, "__getitem__"))
    ):
        raise TypeError(refusal("X", owner, KINDS, describe(X), remedy))
    if isinstance(X, Set):
        rule = "in an order that is the same in every run"
        raise TypeError(refusal("X", owner, rule, describe(X), "Pass sorted(X)."))
    if isinstance(X, Iterator):
        return _stream_items(X, find), None
    if isinstance(X, Sequence):
        if len(X) == 0:
            raise ValueError(refusal("X", owner, "at least one image", describe(X)))
        X = list(chain.from_iterable(_expand_place(entry, find) for entry in X))
    n_items = len(X) if isinstance(X, Sequence) and all(map(_is_single, X)) else None
    return Again(partial(_stream_items, X, find)), n_items


def _remedy(X: Any) -> str:
    """Say what to pass instead of things that hold images in a way that is not read."""
    if isinstance(X, bytes | bytearray) or hasattr(X, "read"):
        return "Decode it first: [PIL.Image.open(io.BytesIO(data))]."
    if hasattr(X, "columns") and hasattr(X, "shape"):
        return "Pass its column of paths, such as list(X['path'])."
    if isinstance(X, Mapping) and X:
        return f"Pass one of its entries, such as X[{next(iter(X))!r}]."
    if isinstance(X, Sequence) and len(X) > 1 and _are_labels(X[1], X[0]):
        return "It looks like a batch (images, labels): pass the images, X[0]."
    return ""


def _are_labels(entry: Any, images: Any) -> bool:
    """Ask whether an entry holds a number for each image of the stack before it."""
    if not _is_dense(images) or not _is_batch(images):
        return False
    if _is_dense(entry):
        return tuple(entry.shape) == (len(images),)
    is_list = isinstance(entry, Sequence) and len(entry) == len(images)
    return is_list and all(isinstance(label, Real) for label in entry)


def _expand_place(entry: Any, find: Find) -> list[Any]:
    """Return the files of a folder or a glob in a list, and all else as it is."""
    if not isinstance(entry, str | os.PathLike):
        return [entry]
    place = os.fspath(entry)
    is_glob = glob.has_magic(place) and not os.path.lexists(place)
    named_as_image = is_image_name(Path(place))  # asked first: it needs no disk
    if is_glob or (not named_as_image and os.path.isdir(place)):  # noqa: PTH112
        return list(find(place))
    return [entry]


def _check_stack(X: Any, owner: str) -> int:
    """Return how many images an array or a tensor stacks, or raise."""
    if isinstance(X, np.ndarray):
        rule, order = "an array (n, h, w) or (n, h, w, 3 or 4)", "last in arrays"
        # (h, w, 3) is one colour image far more often than h images three wide.
        grey = X.ndim == COLOUR and X.shape[2] not in CHANNELS
        fits = grey or (X.ndim == BATCH and X.shape[3] in CHANNELS)
    else:
        rule, order = "a tensor (n, 1, 3 or 4, h, w)", "second in tensors"
        fits = X.ndim == BATCH and X.shape[1] in CHANNELS
    if not fits or 0 in X.shape:
        remedy = f"For one image pass X[None]; channels come {order}."
        raise ValueError(refusal("X", owner, rule, describe(X), remedy))
    return len(X)


def _stream_items(X: Any, find: Find) -> Iterator[Item]:
    # torch's Datasets count through __getitem__ and need not raise IndexError.
    entries = X if isinstance(X, Iterable) else (X[i] for i in range(len(X)))
    # A stream may fill one buffer again and again; a sequence's entries are its own.
    reused = not isinstance(X, Sequence)
    position = 0
    stacks: Stacks = set()
    for entry in entries:
        for place in _expand_place(entry, find) if reused else [entry]:
            for item in _expand(place, position, stacks):
                yield _detached(item) if reused else item
                position += 1


def _expand(entry: Any, position: int, stacks: Stacks) -> Iterator[Item]:
    """Yield the images of one entry of a list or a stream: one, or a batch of them."""
    if _is_dense(entry) and _is_batch(entry):
        _check_channels_last(entry, position, stacks)
        for offset in range(len(entry)):
            yield _item(position + offset, entry[offset])
    elif _is_single(entry) or _is_dense(entry):
        yield _item(position, entry)
    elif _is_undecoded(entry):
        yield _undecoded(position, entry["bytes"], entry["path"])
    elif isinstance(entry, Mapping) and "image" in entry:
        items = _expand(entry["image"], position, stacks)
        yield from _named(items, entry.get("image_path"))
    elif isinstance(entry, list) and entry and all(map(_is_single, entry)):
        for offset, image in enumerate(entry):
            yield from _expand(image, position + offset, stacks)
    elif isinstance(entry, list) and len(entry) > 1 and all(map(_is_one, entry)):
        # [frame, frame] or [image, mask]? What cannot be known is not guessed.
        raise TypeError(
            f"image {position} of X must not be a list of single arrays; got "
            f"{len(entry)} of them, {describe(entry[0])} first. Stack images into one "
            'array, or give {"image": ..., "mask": ...}.'
        )
    elif isinstance(entry, list | tuple) and entry:
        first = entry[0]
        batch = list(first) if isinstance(first, tuple) else first
        items = _expand(batch, position, stacks)
        yield from _named(items, getattr(entry, "image_path", None))
    else:
        mapping = isinstance(entry, Mapping)
        remedy = 'A mapping\'s image is its "image".' if mapping else _remedy(entry)
        raise TypeError(
            f"image {position} of X must be a path, a PIL image, an array or a tensor; "
            f"got {describe(entry)}.{remedy and ' ' + remedy}"
        )


def _check_channels_last(batch: Any, position: int, stacks: Stacks) -> None:
    """Refuse (3, h, w) in a stream: a colour image rather than three grey ones.

    Behind stacks of another number of images it is the last of them.
    """
    if batch.ndim != COLOUR or len(batch) == 1:
        return
    size = tuple(batch.shape[1:])
    if len(batch) in CHANNELS and size not in stacks:
        raise TypeError(
            f"image {position} of X must be (h, w) or (h, w, 3): channels come last in "
            f"arrays; got {describe(batch)}. Pass np.moveaxis(image, 0, 2), or, if "
            f"these are {len(batch)} grey images, each of them."
        )
    stacks.add(size)


def _named(items: Iterator[Item], paths: Any) -> Iterator[Item]:
    """Give the images of one entry the paths that it came with, if there are any."""
    single = _may_name(paths) or not isinstance(paths, Iterable)
    names = [paths] if single else list(paths)
    if not all(map(_may_name, names)):
        raise TypeError(f"image_path of X must be paths; got {describe(paths)}.")
    for number, item in enumerate(items):
        named = number < len(names) and not isinstance(item.image, Path)
        named = named and names[number] is not None
        yield item._replace(name=str(names[number])) if named else item


def _is_undecoded(entry: Any) -> bool:
    """Ask whether an entry is a file of Hugging Face's: bytes, a path, or both."""
    return (
        isinstance(entry, Mapping)
        and entry.keys() == UNDECODED
        and any(entry.values())
        and isinstance(entry["bytes"], bytes | bytearray | None)
        and _may_name(entry["path"])
    )


def _may_name(entry: Any) -> bool:
    return entry is None or isinstance(entry, str | os.PathLike)


def _is_single(entry: Any) -> bool:
    return isinstance(entry, str | os.PathLike | Image.Image)


def _is_one(entry: Any) -> bool:
    """Ask whether an entry is one image as an array or a tensor."""
    return _is_dense(entry) and entry.ndim > 1 and not _is_batch(entry)


def _is_batch(entry: Any) -> bool:
    """Tell a stack of images from one image, by its shape."""
    if entry.ndim != COLOUR:
        return bool(entry.ndim > COLOUR)
    # A tensor of three dimensions is one image: three grey ones look like a colour one.
    return not _is_tensor(entry) and entry.shape[2] not in CHANNELS


def _is_dense(X: Any) -> TypeGuard[AnyArray | torch.Tensor]:
    """Ask whether X is an array or a tensor."""
    return isinstance(X, np.ndarray) or _is_tensor(X)


def _is_tensor(X: Any) -> TypeGuard[torch.Tensor]:
    """Ask whether X is a torch tensor, without importing torch for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def _item(position: int, image: Any) -> Item:
    """Return one image of a source; a PIL image is decoded now, not by threads."""
    if isinstance(image, str) and not image:  # as a path, the working folder
        reason = f"image {position} must be a path; it is an empty text."
        return Item(position, f"image {position}", ImageError(reason))
    if isinstance(image, str | os.PathLike):
        return Item(position, str(Path(image)), Path(image))
    name = f"image {position}"
    if not isinstance(image, Image.Image):
        return Item(position, name, image, is_rgb=False)
    try:
        return Item(position, name, decode(image))
    except ImageError as error:
        reason = f"{name}: {error}"
    except Exception as error:  # PIL's decoders raise many kinds on broken files
        reason = f"{name} cannot be decoded ({type(error).__name__}: {error})."
    return Item(position, name, ImageError(reason))


def _undecoded(position: int, data: bytes | None, path: str | None) -> Item:
    """Return an image of which a file's bytes are there, or its path, or both."""
    if data is None:
        return _item(position, path)
    name = str(path or f"image {position}")
    return Item(position, name, partial(read_content, data, name))


def _detached(item: Item) -> Item:
    """Return an item whose array is its own, so that nobody can change it meanwhile."""
    if isinstance(item.image, Path | ImageError | partial):
        return item
    image = item.image
    return item._replace(image=image.clone() if _is_tensor(image) else image.copy())
