"""A picture gives the same pixels however it comes; what holds no picture is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch.utils.data import DataLoader, Dataset, IterableDataset

from adlib.exceptions import ImageError, InputWarning
from adlib.images import open_source, read_batches

N_IMAGES, SIZE = 5, (16, 20)
RGB = np.random.default_rng(0).integers(0, 256, (N_IMAGES, *SIZE, 3), dtype=np.uint8)
GREY = RGB[:, :, :, 0]
LABELS = list(range(N_IMAGES))


def tensors(stack):
    return torch.from_numpy(stack).permute(0, 3, 1, 2)


def floats(stack):
    return stack.astype(np.float32) / 255


def with_alpha(stack):
    return np.concatenate([stack, 255 - stack[:, :, :, :1]], axis=3)


def pil(stack):
    return [Image.fromarray(image) for image in stack]


def batched(stack):
    return [stack[:2], stack[2:4], stack[4:]]


class Pictures(Dataset):
    """Entries by index, counted by len and by nothing else."""

    def __init__(self, entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return self.entries[min(index, len(self.entries) - 1)]


class Stream(IterableDataset):
    def __init__(self, entries):
        self.entries = entries

    def __iter__(self):
        return iter(self.entries)


def transposed(entries):
    """Collate (image, label) pairs to (images, labels), as many projects do."""
    return tuple(zip(*entries, strict=True))


def read(X, **options):
    """Return all pixels of a source, (n, 3, height, width)."""
    options = {"image_size": SIZE, "batch_size": 2, "n_workers": 2} | options
    batches = list(read_batches(open_source(X, "fit"), **options))
    return np.concatenate([batch.images for batch in batches])


def names(X):
    return [item.name for item in open_source(X, "fit").items]


@pytest.fixture
def root(tmp_path):
    """The RGB pictures as 0.png to 3.png and deeper/4.PNG."""
    (tmp_path / "deeper").mkdir()
    for i, picture in enumerate(pil(RGB)):
        place = "4.PNG" if i == 4 else f"{i}.png"
        picture.save(tmp_path / ("deeper" if i == 4 else "") / place)
    return tmp_path


def paths(root):
    return [root / f"{i}.png" for i in range(4)] + [root / "deeper" / "4.PNG"]


FILE_KINDS = {
    "folder": lambda root: root,
    "folder as a string": str,
    "recursive glob": lambda root: str(root / "**" / "*.[pP][nN][gG]"),
    "list of paths": paths,
    "tuple of strings": lambda root: tuple(map(str, paths(root))),
    "array of strings": lambda root: np.array([str(path) for path in paths(root)]),
    "array of objects": lambda root: np.array(paths(root), dtype=object),
    "generator of paths": lambda root: (path for path in paths(root)),
    "list of (path, label)": lambda root: list(zip(paths(root), LABELS, strict=True)),
    "list of dicts": lambda root: [{"image": str(path)} for path in paths(root)],
    "DataLoader of paths": lambda root: DataLoader(
        Pictures([str(path) for path in paths(root)]), batch_size=2
    ),
    "DataLoader of dicts with paths": lambda root: DataLoader(
        Pictures([{"image": str(path), "label": 1} for path in paths(root)]),
        batch_size=2,
    ),
    "DataLoader of (path, label)": lambda root: DataLoader(
        Pictures([(str(path), 1) for path in paths(root)]), batch_size=2
    ),
}
COLOUR_KINDS = {
    "uint8": lambda: RGB,
    "uint16": lambda: RGB.astype(np.uint16) * 257,
    "float32": lambda: floats(RGB),
    "float64": lambda: RGB / 255,
    "RGBA": lambda: with_alpha(RGB),
    "Fortran order": lambda: np.asfortranarray(RGB),
    "uint8 tensor": lambda: tensors(RGB),
    "uint16 tensor": lambda: tensors(RGB.astype(np.uint16) * 257),
    "float tensor": lambda: tensors(floats(RGB)),
    "float64 tensor": lambda: tensors(RGB / 255),
    "tensor with a gradient": lambda: tensors(floats(RGB)).requires_grad_(),
    "RGBA tensor": lambda: tensors(with_alpha(RGB)),
    "list of arrays": lambda: list(RGB),
    "list of tensors": lambda: list(tensors(RGB)),
    "list of PIL images": lambda: pil(RGB),
    "list of batches": lambda: batched(RGB),
    "list of (image, label)": lambda: list(zip(RGB, LABELS, strict=True)),
    "list of dicts": lambda: [{"image": image, "label": 0} for image in tensors(RGB)],
    "generator of arrays": lambda: (image for image in RGB),
    "generator of batches": lambda: (batch for batch in batched(RGB)),
    "generator of tensor batches": lambda: iter(batched(tensors(RGB))),
    "generator of PIL images": lambda: iter(pil(RGB)),
    "generator of lists of PIL images": lambda: iter(batched(pil(RGB))),
    "generator of (batch, labels)": lambda: ((batch, 1) for batch in batched(RGB)),
    "generator of dicts of batches": lambda: ({"image": b} for b in batched(RGB)),
    "map-style Dataset": lambda: Pictures(list(tensors(RGB))),
    "map-style Dataset of pairs": lambda: Pictures([(p, 1) for p in pil(RGB)]),
    "iterable Dataset": lambda: Stream(list(zip(tensors(RGB), LABELS, strict=True))),
    "DataLoader of images": lambda: DataLoader(Pictures(tensors(RGB)), batch_size=2),
    "DataLoader of [images, labels]": lambda: DataLoader(
        Pictures(list(zip(tensors(RGB), LABELS, strict=True))), batch_size=2
    ),
    "DataLoader of dicts": lambda: DataLoader(
        Pictures([{"image": image, "label": 1} for image in tensors(RGB)]), batch_size=3
    ),
    "DataLoader of PIL images in pairs": lambda: DataLoader(
        Pictures(list(zip(pil(RGB), LABELS, strict=True))),
        batch_size=2,
        collate_fn=transposed,
    ),
}
GREY_KINDS = {
    "(n, h, w)": lambda: GREY,
    "(n, h, w, 1)": lambda: GREY[..., None],
    "(n, h, w, 3)": lambda: np.repeat(GREY[..., None], 3, axis=3),
    "uint16 (n, h, w)": lambda: GREY.astype(np.uint16) * 257,
    "float (n, h, w)": lambda: floats(GREY),
    "tensor (n, 1, h, w)": lambda: tensors(GREY[..., None]),
    "list of (h, w)": lambda: list(GREY),
    "list of tensors (h, w)": lambda: list(torch.from_numpy(GREY)),
    "list of tensors (1, h, w)": lambda: list(tensors(GREY[..., None])),
    "generator of (n, h, w)": lambda: iter(batched(GREY)),
    "list of PIL images": lambda: pil(GREY),
    "list of 16-bit PIL images": lambda: pil(GREY.astype(np.uint16) * 257),
    "list of float PIL images": lambda: pil(floats(GREY)),
    "list of RGB PIL images": lambda: [image.convert("RGB") for image in pil(GREY)],
}


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_every_kind_of_files_gives_the_same_pixels(root, kind):
    expected = floats(RGB).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(read(FILE_KINDS[kind](root)), expected)


@pytest.mark.parametrize("kind", COLOUR_KINDS)
def test_every_kind_of_colour_images_gives_the_same_pixels(kind):
    expected = floats(RGB).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(read(COLOUR_KINDS[kind]()), expected)


@pytest.mark.parametrize("kind", GREY_KINDS)
def test_every_kind_of_grey_images_gives_the_same_pixels(kind):
    expected = np.repeat(floats(GREY)[:, None], 3, axis=1)
    np.testing.assert_array_equal(read(GREY_KINDS[kind]()), expected)


def test_one_path_or_pil_image_is_a_source_of_one(root):
    expected = floats(RGB[:1]).transpose(0, 3, 1, 2)
    for X in (root / "0.png", str(root / "0.png"), Image.open(root / "0.png")):
        assert open_source(X, "fit").n_items == 1
        np.testing.assert_array_equal(read(X), expected)


def test_kinds_of_images_may_be_mixed(root):
    mixture = [root / "0.png", RGB[1], tensors(RGB)[2], pil(RGB)[3], RGB[4:]]
    np.testing.assert_array_equal(read(mixture), read(RGB))


def test_frames_of_one_file_keep_their_pixels(tmp_path):
    frames = pil(GREY)
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.tif") as film:
        np.testing.assert_array_equal(read(ImageSequence.Iterator(film)), read(GREY))


@pytest.mark.parametrize("kind", [list, tensors], ids=["arrays", "tensors"])
def test_lists_of_single_arrays_in_a_stream_are_refused_as_ambiguous(kind):
    with pytest.raises(TypeError, match="image 0 of X must not be a list of single"):
        read(iter(batched(list(kind(RGB)))))


def test_a_generator_may_use_its_array_again():
    def camera():
        frame = np.empty_like(RGB[0])
        for image in RGB:
            frame[:] = image
            yield frame

    np.testing.assert_array_equal(read(camera()), read(RGB))


def test_one_opened_image_may_come_often(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    expected = read(tmp_path / "a.png")[0]
    for _ in range(5):
        with Image.open(tmp_path / "a.png") as opened:
            images = read([opened] * 8, n_workers=4)
        for image in images:
            np.testing.assert_array_equal(image, expected)


def test_a_folder_is_read_in_path_order(root):
    assert names(root) == [str(path) for path in paths(root)]
    assert names(root) == sorted(names(root), key=Path)


def test_a_glob_is_read_in_path_order(root):
    assert names(str(root / "*.png")) == [str(path) for path in paths(root)[:4]]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path):
    (tmp_path / "part[1]").mkdir()
    Image.fromarray(GREY[0]).save(tmp_path / "part[1]" / "a.png")
    assert names(tmp_path / "part[1]") == [str(tmp_path / "part[1]" / "a.png")]


def test_hidden_files_and_other_files_of_a_folder_are_passed_over(root):
    expected = names(root)
    for other in (".hidden.png", "._0.png", "notes.txt", "labels.csv", "png"):
        (root / other).write_text("no image")
    with pytest.warns(InputWarning, match=r"left out: 1 \.csv, 1 \.txt, 1 without s"):
        assert names(root) == expected


def test_images_without_a_path_are_named_by_their_position():
    entries = [RGB[0], pil(RGB)[1], RGB[2:4], tensors(RGB)[4]]
    assert names(entries) == [f"image {i}" for i in range(5)]
    assert names(RGB) == [f"image {i}" for i in range(5)]


def test_nothing_is_loaded_when_a_source_is_opened(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    assert open_source(tmp_path, "fit").n_items == 1


@pytest.mark.parametrize(
    ("X", "n_items"),
    [
        (RGB, 5),
        (tensors(RGB), 5),
        (pil(RGB), 5),
        (["a.png", "b.png"], 2),
        (batched(RGB), None),
        (iter(RGB), None),
    ],
)
def test_images_are_counted_where_their_number_is_sure(X, n_items):
    assert open_source(X, "fit").n_items == n_items


@pytest.mark.parametrize("X", [None, 7, 0.5, {"image": RGB[0]}, object(), len])
def test_what_holds_no_images_is_refused(X):
    with pytest.raises(TypeError, match=r"X of fit must be a folder, .*; got ") as info:
        open_source(X, "fit")
    assert type(X).__name__ in str(info.value) or repr(X) in str(info.value)


@pytest.mark.parametrize("X", [[], (), np.array([], dtype=str)])
def test_an_empty_list_is_refused(X):
    with pytest.raises(ValueError, match=r"X of fit must be at least one image; got"):
        open_source(X, "fit")


@pytest.mark.parametrize(
    ("X", "fragment"),
    [
        (GREY[0], r"\(n, h, w, 3 or 4\); got ndarray of shape \(16, 20\).*X\[None\]"),
        (RGB[0], r"\(n, h, w, 3 or 4\); got ndarray .*\(16, 20, 3\).*X\[None\]"),
        (RGB[..., :2], r"got ndarray of shape \(5, 16, 20, 2\) and dtype uint8"),
        (RGB.transpose(0, 3, 1, 2), "channels come last in arrays"),
        (RGB[None], r"shape \(1, 5, 16, 20, 3\)"),
        (RGB[:0], r"shape \(0, 16, 20, 3\)"),
        (np.zeros((3, 0, 4)), r"shape \(3, 0, 4\)"),
        (tensors(RGB)[0], r"a tensor \(n, 1, 3 or 4, h, w\); got Tensor .*X\[None\]"),
        (torch.from_numpy(RGB), "channels come second in tensors"),
        (tensors(RGB)[:0], r"Tensor of shape \(0, 3, 16, 20\)"),
    ],
)
def test_a_stack_of_the_wrong_shape_is_refused(X, fragment):
    with pytest.raises(ValueError, match=f"X of fit must be .*{fragment}"):
        open_source(X, "fit")


@pytest.mark.parametrize("place", ["gone", "gone.png", "gone/*.png", "*.tif"])
def test_a_place_where_nothing_is_is_named(tmp_path, place):
    with pytest.raises(ValueError, match="X of fit must be a folder, a glob") as info:
        open_source(str(tmp_path / place), "fit")
    assert repr(str(tmp_path / place)) in str(info.value)


def test_a_folder_without_images_is_named_with_the_known_suffixes(tmp_path):
    (tmp_path / ".hidden.png").write_text("")
    (tmp_path / "notes.txt").write_text("")
    fragment = r"which holds none \(known: .*\.png .*; there: 1 \.txt\)"
    with pytest.raises(ValueError, match=fragment) as info:
        open_source(tmp_path, "fit")
    assert str(tmp_path) in str(info.value)


@pytest.mark.parametrize(
    ("entry", "fragment"),
    [
        (None, "got None"),
        (3, "got 3"),
        ([], r"got \[\]"),
        ((), r"got \(\)"),
        ({"picture": 1}, "got {'picture': 1}"),
        ((1, RGB[0]), "got 1"),
        ([[0.5, 0.5]], r"got 0\.5"),
    ],
)
@pytest.mark.parametrize("make", [list, iter])
def test_an_entry_that_is_no_image_is_named_by_its_position(make, entry, fragment):
    with pytest.raises(TypeError, match=f"image 2 of X must be a path, .*{fragment}"):
        read(make([RGB[:2], entry]))


@pytest.mark.parametrize(
    ("entry", "fragment"),
    [
        (GREY[0].astype(np.int64), "uint8, uint16 or float .*dtype int64"),
        (GREY[0] > 9, "uint8, uint16 or float .*dtype bool"),
        (torch.from_numpy(GREY[0]).long(), "uint8, uint16 .*dtype int64"),
        (np.full(SIZE, np.nan), r"finite and in \[0, 1\]"),
        (torch.full((3, *SIZE), -1.0), "from -1.0 to -1.0.*adlib normalises them"),
        (RGB[0] * 1.0, "Divide by the largest possible value"),
        (np.zeros(7, np.uint8), r"\(height, width\) .*shape \(7,\)"),
        (np.zeros((1, 2, 16, 16, 3), np.uint8), r"shape \(2, 16, 16, 3\)"),
    ],
)
def test_an_unusable_image_is_named_by_its_position(entry, fragment):
    with pytest.raises(ImageError, match=f"image 1 must be .*{fragment}"):
        read([RGB[0], entry])
