"""Whatever comes in, one clear error comes out, and nothing else has changed.

Each case is one thing that a user, a camera or a disk can do wrong. The tables say
which error it gets, and what that names: the parameter or file, the rule, what came.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone

import adlib
from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.datasets import (
    ShiftSettings,
    create_clean_split,
    generate_shifted_set,
    get_clean_transforms,
    load_clean_splits,
    read_mask,
    read_samples,
    verify,
)
from adlib.exceptions import (
    ImageError,
    InputWarning,
    ModelFileError,
    SkippedImagesWarning,
)
from adlib.features import FeatureCache
from adlib.metrics import (
    compute_auroc,
    compute_pixel_auroc,
    compute_pro,
    per_defect_type,
)
from adlib.study import read_config
from adlib.thresholds import conformal_threshold
from tests.conftest import texture

GREY = texture(99)


def png(image=GREY, **options):
    """Return the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


def bomb(side=20_000):
    """Return a PNG of some kilobytes that unpacks to 400 megapixels."""
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def with_size(width, height):
    """Return a PNG whose header claims another size than its pixels fill."""
    import struct
    import zlib

    whole = bytearray(png())
    whole[16:24] = struct.pack(">II", width, height)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


def tiff_of(values):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


# Files that are no usable images: their bytes, their name, what the error says.
BAD_FILES: dict[str, tuple[bytes, str, str]] = {
    "zero bytes": (b"", "a.png", "cannot be decoded"),
    "text named .png": (b"these are words\n" * 50, "a.png", "cannot be decoded"),
    "a signature alone": (b"\x89PNG\r\n\x1a\n", "a.png", "cannot be decoded"),
    "cut in the header": (png()[:20], "a.png", "cannot be decoded"),
    "cut in the pixels": (png()[:-200], "a.png", "cannot be decoded"),
    "a flipped byte": (
        png()[:200] + bytes([png()[200] ^ 255]) + png()[201:],
        "a.png",
        "cannot be decoded",
    ),
    "a decompression bomb": (bomb(), "a.png", "raise PIL.Image.MAX_IMAGE_PIXELS"),
    "a claimed size beyond all bounds": (
        with_size(2**31 - 1, 2**31 - 1),
        "a.png",
        "raise PIL.Image.MAX_IMAGE_PIXELS",
    ),
    "a claimed size that the pixels do not fill": (
        with_size(4000, 4000),
        "a.png",
        "cannot be decoded",
    ),
    "no width": (with_size(0, 64), "a.png", "cannot be decoded"),
    "zeros": (b"\0" * 4096, "a.png", "cannot be decoded"),
    "a web page named .jpg": (b"<html>404</html>", "a.jpg", "cannot be decoded"),
    "an archive named .tif": (b"PK\3\4" + b"x" * 90, "a.tif", "cannot be decoded"),
    "float values above 1": (
        tiff_of(np.full((9, 9), 255, np.float32)),
        "a.tif",
        r"finite and in \[0, 1\]; got floats from 255.0 to 255.0. Divide by",
    ),
    "NaN in a float file": (
        tiff_of(np.full((9, 9), np.nan, np.float32)),
        "a.tif",
        r"finite and in \[0, 1\]; got floats from nan",
    ),
    "32-bit values beyond 16 bits": (
        tiff_of(np.full((9, 9), 70000, np.int32)),
        "a.tif",
        r"must lie in \[0, 65535\]; got 70000",
    ),
}


def array(values, shape=(2, 32, 32, 3), dtype=np.float32):
    return np.full(shape, values, dtype)


def raising(images):
    """Yield some images, then fail as a camera does."""
    yield from images
    raise ConnectionError("the camera went away")


class Shrinking:
    """A data set that claims more entries than it has."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index > 2:
            raise KeyError(index)
        return GREY


def closed_image(folder):
    (folder / "a.png").write_bytes(png())
    with Image.open(folder / "a.png") as image:
        pass
    return [image]


def made(folder):
    folder.mkdir()
    return folder


def linked(folder, target):
    (folder / "a.png").symlink_to(target)
    return folder


def pipe(folder):
    os.mkfifo(folder / "a.png")
    return folder


class Case(NamedTuple):
    """What is given, which error comes, and what it says."""

    given: Any  # or a function of the test's folder that makes it
    error: type[Exception]
    message: str


IMAGES = r"X of PatchCore\.score must be "
SOURCES = {
    "None": Case(None, TypeError, IMAGES + "a folder, a glob, .*got None"),
    "a number": Case(3, TypeError, IMAGES + "a folder, a glob, .*got 3"),
    "a dictionary": Case({"a": GREY}, TypeError, IMAGES + "a folder, a glob"),
    "a set of paths": Case({"a.png", "b.png"}, TypeError, r"order .*sorted\(X\)"),
    "bytes": Case(b"abc", TypeError, IMAGES + "a folder, .*got b'abc'. Decode it"),
    "an empty string": Case("", ValueError, IMAGES + "a folder, .*got ''"),
    "an empty list": Case([], ValueError, IMAGES + r"at least one image; got \[\]"),
    "an empty iterator": Case(lambda _: iter(()), ValueError, "at least one image"),
    "an empty array": Case(
        np.empty((0, 32, 32, 3)), ValueError, r"an array \(n, h, w\) .*\(0, 32, 32, 3"
    ),
    "no rows": Case(np.empty((2, 0, 32)), ValueError, r"an array \(n, h, w\)"),
    "one image, not a stack": Case(GREY, ValueError, r"For one image pass X\[None\]"),
    "one colour image": Case(
        np.zeros((32, 32, 3), np.uint8), ValueError, r"pass X\[None\]"
    ),
    "a scalar array": Case(np.array(3), ValueError, r"an array \(n, h, w\)"),
    "two channels": Case(array(0, (2, 32, 32, 2)), ValueError, "an array"),
    "five channels": Case(array(0, (2, 32, 32, 5)), ValueError, "an array"),
    "channels first": Case(array(0, (2, 3, 32, 32)), ValueError, "channels come last"),
    "a tensor with channels last": Case(
        torch.zeros((2, 32, 32, 3)), ValueError, "channels come second in tensors"
    ),
    "five dimensions": Case(array(0, (1, 2, 32, 32, 3)), ValueError, "an array"),
    "NaN": Case(array(np.nan), ImageError, r"image 0 must be finite and in \[0, 1\]"),
    "infinity": Case(array(np.inf), ImageError, "image 0 must be finite"),
    "NaN in a list": Case([GREY, GREY * np.nan], ImageError, "image 1 must be finite"),
    "floats to 255": Case(array(255), ImageError, "Divide by the largest possible"),
    "negative floats": Case(array(-1), ImageError, "floats from -1.0 to -1.0"),
    "NaN in a tensor": Case(
        torch.full((1, 3, 32, 32), torch.nan), ImageError, "image 0 must be finite"
    ),
    "signed integers": Case(
        array(1, dtype=np.int32), ImageError, "must be uint8, uint16 or float .* int32"
    ),
    "booleans": Case(
        array(True, dtype=bool), ImageError, "must be uint8, uint16 or fl"
    ),
    "complex numbers": Case(
        array(1, dtype=complex), ImageError, "must be uint8, uint1"
    ),
    "objects": Case(
        np.array([object(), object()]), TypeError, "image 0 of X must be a path"
    ),
    "texts that are no paths": Case(
        np.array(["nowhere.png"]), ImageError, "nowhere.png must be a readable"
    ),
    "None among images": Case([GREY, None], TypeError, "image 1 of X .*got None"),
    "numbers": Case([1, 2, 3], TypeError, "image 0 of X must be a path"),
    "image and mask without names": Case([[GREY, GREY]], TypeError, "Stack images"),
    "an empty tuple": Case([()], TypeError, "image 0 of X"),
    "other channels half-way": Case(
        [GREY, array(0, (2, 9, 9, 5))], ImageError, r"image 1 must be .*\(9, 9, 5\)"
    ),
    "a generator that raises": Case(
        lambda _: raising([GREY, GREY]), ConnectionError, "the camera went away"
    ),
    "a data set that ends early": Case(Shrinking(), KeyError, "3"),
    "a closed PIL image": Case(closed_image, ImageError, "image 0 cannot be decoded"),
    "a path that is not there": Case(
        lambda folder: folder / "none", ValueError, "none', where there is nothing"
    ),
    "a glob without matches": Case(
        lambda folder: str(folder / "*.png"), ValueError, "where there is nothing"
    ),
    "a folder without images": Case(
        lambda folder: made(folder / "empty"), ValueError, "which holds none .known:"
    ),
    "a broken link": Case(
        lambda folder: linked(folder, "gone.png"), ImageError, "a link to nothing"
    ),
    "a link to itself": Case(
        lambda folder: linked(folder, "a.png"), ImageError, "a.png must be a readable"
    ),
    "a pipe": Case(pipe, ImageError, "must be a regular file"),
    "a folder named .png": Case(
        lambda folder: [made(folder / "a.png")], ImageError, "must be a regular file"
    ),
    "a name with a null": Case(["a\0.png"], ImageError, "must be a readable image"),
    "a name that no system takes": Case(
        ["x" * 5000 + ".png"], ImageError, "must be a readable image; .*too long"
    ),
}


PARAMETERS = {
    "coreset of 0": Case({"coreset": 0.0}, ValueError, r"coreset .*\(0, 1\]"),
    "coreset that is NaN": Case({"coreset": float("nan")}, ValueError, "coreset"),
    "coreset as text": Case({"coreset": "5%"}, TypeError, "coreset of PatchCore"),
    "coreset as a bool": Case({"coreset": True}, TypeError, "coreset of PatchCore"),
    "negative coreset": Case({"coreset": -3}, ValueError, "coreset of PatchCore"),
    "image_size of 0": Case({"image_size": 0}, ValueError, "image_size .*at least 16"),
    "image_size of three": Case({"image_size": (64, 64, 3)}, ValueError, "a pair"),
    "fractional image_size": Case({"image_size": 64.5}, TypeError, "image_size"),
    "image_size beyond memory": Case(
        {"image_size": 10_000_000}, MemoryError, "10000000x10000000, which take .* GB"
    ),
    "batch_size of 0": Case({"batch_size": 0}, ValueError, "batch_size .*at least 1"),
    "unknown backbone": Case(
        {"backbone": "resnet51"}, ValueError, "Close names: .*resn"
    ),
    "backbone of a hub": Case(
        {"backbone": "hf_hub:someone/code"}, ValueError, "the name of a timm network"
    ),
    "backbone as a number": Case({"backbone": 50}, TypeError, "backbone of PatchCore"),
    "stages that are not there": Case({"stages": (17,)}, ValueError, "which offers 0"),
    "stages as text": Case({"stages": "12"}, TypeError, "stages of PatchCore"),
    "weights that are not there": Case(
        {"weights": "none.pt"}, adlib.exceptions.WeightsError, "none.pt"
    ),
    "unknown device": Case({"device": "gpu"}, ValueError, 'device .*"auto", "cpu"'),
    "a GPU that is not there": Case({"device": "cuda:99"}, ValueError, "shows . CUDA"),
    "unknown aggregation": Case(
        {"aggregation": "mean"}, ValueError, "one of 'top_mean"
    ),
    "unknown search": Case({"search": "magic"}, ValueError, "search of PatchCore"),
    "unknown on_error": Case({"on_error": "ignore"}, ValueError, "'raise', 'skip'"),
    "progress as a number": Case({"progress": 1}, TypeError, "True or False; got 1"),
    "negative seed": Case({"random_state": -1}, ValueError, "random_state"),
    "no workers": Case({"n_workers": 0}, ValueError, "n_workers .*at least 1"),
    "rate of 1": Case({"false_positive_rate": 1.0}, ValueError, r"\(0, 1\)"),
}
LABELS = {
    "too few": Case([1, 1], ValueError, "got 2 labels and 6 images"),
    "too many": Case([1] * 9, ValueError, "got 9 labels and 6 images"),
    "of two conventions": Case(
        [0, 1, -1, 1, 0, 1], ValueError, "got the values -1, 0, 1"
    ),
    "as texts": Case(["good"] * 6, ValueError, r"y of PatchCore.fit must be \+1"),
    "of two dimensions": Case(np.ones((6, 1)), ValueError, r"y of PatchCore.fit"),
    "NaN": Case([np.nan] * 6, ValueError, "got the values nan"),
    "no normal one": Case([-1] * 6, ImageError, "at least one usable normal image"),
    "None among them": Case([1, None, 1, 1, 1, 1], ValueError, r"y of PatchCore.fit"),
    "empty": Case([], ValueError, r"y of PatchCore.fit"),
}
CONFIGS = {
    "no YAML": ("seed: [", "config.yaml must be YAML"),
    "an unknown key": ("sead: 3", "sead is not a key. Allowed are: seed, data"),
    "a list": ("[1, 2]", r"must be a mapping; got \[1, 2\]"),
    "code": ("!!python/object/apply:os.system ['true']", "config.yaml must be YAML"),
    "a text for a number": ("seed: '42'", "seed: must be a valid integer; got '42'"),
    "NaN": ("patchcore: {coreset: .nan}", "patchcore.coreset: must be "),
    "no bytes of text": (b"\xff\xfe\0\0", "config.yaml must be YAML"),
    "deep nesting": ("[" * 2000, "config.yaml must be YAML"),
    "a bomb of aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "is not a key",
    ),
    "a null": (b"seed: 1\0", "config.yaml must be YAML"),
}
COUNTED = [BAD_FILES, SOURCES, PARAMETERS, LABELS, CONFIGS]


@pytest.fixture
def model(fitted):
    """An estimator that shares what was learned, and may be changed."""
    import copy

    return copy.copy(fitted)


@pytest.fixture
def before_and_after(tmp_path, nothing_else_changes):
    """Fail where the case left a file that it did not bring."""
    yield
    assert not [path for path in tmp_path.rglob("*") if "tmp" in path.suffix]


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_file_is_an_error_that_names_it(case, model, tmp_path):
    content, name, message = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=rf"{name}.*{message}"):
        model.score(tmp_path)
    if message == "cannot be decoded":
        with pytest.raises(ImageError, match=rf"{name}.*{message}"):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_file_is_skipped_and_reported_where_that_is_asked(case, model, tmp_path):
    content, name, message = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "b.png").write_bytes(png())
    model.on_error = "skip"
    broken, whole = model.inspect(tmp_path)
    assert np.isnan(broken.score)
    assert name in broken.error
    assert whole.score == model.score(GREY[None])[0]
    with pytest.warns(SkippedImagesWarning, match=message):
        scores = model.score(tmp_path)
    np.testing.assert_array_equal(scores, [np.nan, whole.score])


@pytest.mark.parametrize("case", SOURCES)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_source_is_one_error(case, model, tmp_path):
    given, error, message = SOURCES[case]
    X = given(tmp_path) if callable(given) and not hasattr(given, "__len__") else given
    with pytest.raises(error, match=message) as caught:
        model.score(X)
    assert type(caught.value) is error


@pytest.mark.parametrize("case", SOURCES)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_source_leaves_an_estimator_unfitted(case, tmp_path):
    given, error, _ = SOURCES[case]
    X = given(tmp_path) if callable(given) and not hasattr(given, "__len__") else given
    model = PaDiM(image_size=32, progress=False)
    with pytest.raises(error if error is not ValueError else (ImageError, ValueError)):
        model.fit(X)
    assert vars(model) == vars(PaDiM(image_size=32, progress=False))


@pytest.mark.parametrize("case", PARAMETERS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_parameter_is_one_error(case, good):
    given, error, message = PARAMETERS[case]
    model = PatchCore(**({"image_size": 32, "progress": False} | given))
    with pytest.raises(error, match=message):
        model.fit(good)
    assert not hasattr(model, "backbone_")


@pytest.mark.parametrize("case", LABELS)
@pytest.mark.usefixtures("before_and_after")
def test_labels_that_do_not_fit_are_one_error(case, good):
    given, error, message = LABELS[case]
    model = PatchCore(image_size=32, progress=False)
    with pytest.raises(error, match=message):
        model.fit(good, given)
    assert not hasattr(model, "backbone_")


@pytest.mark.parametrize("case", CONFIGS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_configuration_is_one_error(case, tmp_path):
    given, message = CONFIGS[case]
    content = given if isinstance(given, bytes) else given.encode()
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "config.yaml")


MAPS = np.zeros((2, 8, 8), np.float32)
MASKS = np.zeros((2, 8, 8), bool)
CALLS = {
    "masks of another size": Case(
        lambda: compute_pixel_auroc(MASKS[:, :4], MAPS), ValueError, "4, 8"
    ),
    "fewer masks than maps": Case(
        lambda: compute_pixel_auroc(MASKS[:1], MAPS), ValueError, "masks_true"
    ),
    "masks without a defect": Case(
        lambda: compute_pro(MASKS, MAPS), ValueError, "masks_true"
    ),
    "NaN in a map": Case(
        lambda: compute_pixel_auroc(~MASKS, MAPS * np.nan), ValueError, "finite"
    ),
    "labels and scores of other lengths": Case(
        lambda: compute_auroc([0, 1], [1.0, 2.0, 3.0]),
        ValueError,
        "scores .*as long as",
    ),
    "labels of one kind": Case(
        lambda: compute_auroc([0, 0], [1.0, 2.0]), ValueError, "of both kinds"
    ),
    "labels 1 and 2": Case(
        lambda: compute_auroc([1, 2], [1.0, 2.0]), ValueError, "0 .normal. or 1"
    ),
    "infinite scores": Case(
        lambda: compute_auroc([0, 1], [1.0, np.inf]), ValueError, "finite"
    ),
    "scores as texts": Case(
        lambda: compute_auroc([0, 1], ["a", "b"]), TypeError, "sco"
    ),
    "names of defects that do not fit": Case(
        lambda: per_defect_type([0, 1], [1.0, 2.0], ["good"]),
        ValueError,
        "defect_types",
    ),
    "a threshold from nothing": Case(
        lambda: conformal_threshold([], 0.1), ValueError, "scores_normal"
    ),
    "a rate that few images cannot promise": Case(
        lambda: conformal_threshold([1.0, 2.0], 0.1),
        ValueError,
        "got 2, which allow 0.333",
    ),
    "a cache of no size": Case(lambda: FeatureCache("x", 0), ValueError, "max_bytes"),
    "a range upside down": Case(
        lambda: ShiftSettings(rotation=(9, -9)), ValueError, "the lower one first"
    ),
    "a transform to no size": Case(
        lambda: get_clean_transforms(0), ValueError, "at least 16"
    ),
}
COUNTED.append(CALLS)


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_call_is_one_error(case):
    given, error, message = CALLS[case]
    with pytest.raises(error, match=message):
        given()


def small_set(root, **changes):
    """Write a small data set in MVTec AD's layout; return its root."""
    for place in ("train/good", "test/good", "test/hole"):
        folder = root / "tile" / place
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"{number}.png").write_bytes(png(texture(number, 32)))
    masks = root / "tile/ground_truth/hole"
    masks.mkdir(parents=True)
    hole = np.zeros((32, 32), np.uint8)
    hole[9:20, 9:20] = 255
    for number in range(4):
        (masks / f"{number}_mask.png").write_bytes(png(hole))
    for name, content in changes.items():
        path = root / "tile" / name
        path.unlink() if content is None else path.write_bytes(content)
    return root


FOLDERS = {
    "a root that is not there": (lambda root: read_samples(root / "none"), "none"),
    "a root without a layout": (
        lambda root: read_samples(made(root / "bare")),
        "bare",
    ),
    "a class that is not there": (
        lambda root: read_samples(small_set(root), ["nut"]),
        "nut",
    ),
    "a ratio of 1": (
        lambda root: create_clean_split(
            read_samples(small_set(root)), "tile", train_ratio=1.0
        ),
        "train_ratio",
    ),
    "splits that are not there": (
        lambda root: load_clean_splits(root / "splits.json", root),
        "splits.json",
    ),
    "splits that are no JSON": (
        lambda root: load_clean_splits(written(root / "splits.json", b"{"), root),
        "splits.json",
    ),
    "splits that are bytes": (
        lambda root: load_clean_splits(written(root / "splits.json", b"\xff\0"), root),
        "splits.json",
    ),
    "splits of other things": (
        lambda root: load_clean_splits(written(root / "splits.json", b"[1]"), root),
        "splits.json",
    ),
    "a target with other files": (
        lambda root: shifted_into(root, "x.png"),
        "holds files that no shifted set has",
    ),
}
COUNTED.append(FOLDERS)


def written(path, content):
    path.write_bytes(content)
    return path


def shifted_into(root, name):
    split = create_clean_split(read_samples(small_set(root)), "tile")
    (root / "target/tile").mkdir(parents=True)
    (root / "target/tile" / name).write_bytes(b"mine")
    generate_shifted_set([split], root, root / "target", root / "record.json")


@pytest.mark.parametrize("case", FOLDERS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_folder_is_one_error(case, tmp_path):
    given, message = FOLDERS[case]
    with pytest.raises((ValueError, OSError), match=message):
        given(tmp_path)


PROBLEMS = {
    "a mask of another size": {"ground_truth/hole/1_mask.png": png(GREY)},
    "a mask that is missing": {"ground_truth/hole/1_mask.png": None},
    "an empty mask": {
        "ground_truth/hole/1_mask.png": png(np.zeros((32, 32), np.uint8))
    },
    "a mask of zero bytes": {"ground_truth/hole/1_mask.png": b""},
    "an image of zero bytes": {"test/hole/1.png": b""},
    "a text named .png": {"train/good/1.png": b"words"},
    "an image that is in train and test": {"test/good/1.png": png(texture(0, 32))},
}
COUNTED.append(PROBLEMS)


@pytest.mark.parametrize("case", PROBLEMS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_data_set_is_reported_by_file(case, tmp_path):
    small_set(tmp_path)
    sound = {problem.path.name for problem in verify(tmp_path, progress=False).problems}
    for name, content in PROBLEMS[case].items():
        path = tmp_path / "tile" / name
        path.unlink() if content is None else path.write_bytes(content)
    report = verify(tmp_path, progress=False)
    told = " ".join(f"{found.path} {found.text}" for found in report.problems)
    assert any(
        "1" in name for name in {p.path.name for p in report.problems} - sound
    ) or ("1.png" in told or "1_mask.png" in told)


MODELS = {
    "zero bytes": b"",
    "text": b"this is no model\n" * 99,
    "a picture": png(),
    "a header that claims 2^63 bytes": b"\xff" * 7 + b"\x7f" + b"{}" + b" " * 90,
    "a header that claims more than there is": b"\x00\x10\0\0\0\0\0\0{}",
    "an empty header": b"\x02\0\0\0\0\0\0\0{}",
    "a pickle": b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93.",
}
COUNTED.append(MODELS)


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_model_file_is_one_error(case, tmp_path):
    (tmp_path / "part.adlib").write_bytes(MODELS[case])
    with pytest.raises(ModelFileError, match=r"part\.adlib"):
        adlib.load(tmp_path / "part.adlib", device="cpu")


COMMANDS = {
    "fit without images": (["fit", "{}/none", "-o", "{}/m"], "where there is nothing"),
    "fit into a missing folder": (
        ["fit", "{}/good", "-o", "{}/no/m"],
        "does not exist",
    ),
    "fit over a folder": (["fit", "{}/good", "-o", "{}/good"], "must be a file"),
    "fit with a broken image": (["fit", "{}/bad", "-o", "{}/m"], "bad/a.png"),
    "score without a model": (["score", "{}/none", "{}/good"], "no model file"),
    "score with an image for a model": (
        ["score", "{}/good/0.png", "{}/good"],
        "is not a model file",
    ),
    "score nothing": (["score", "{}/part.adlib", "{}/none"], "where there is nothing"),
    "score a broken image": (["score", "{}/part.adlib", "{}/bad"], "bad/a.png"),
    "a table into a missing folder": (
        ["score", "{}/part.adlib", "{}/good", "-o", "{}/no/t.csv"],
        "does not exist",
    ),
    "info of a folder": (["info", "{}/good"], "is not a model file"),
    "verify what is not there": (["data", "verify", "{}/none"], "none"),
    "a study without its file": (["study", "{}/none.yaml"], "none.yaml"),
}
COUNTED.append(COMMANDS)


@pytest.mark.parametrize("case", COMMANDS)
@pytest.mark.usefixtures("before_and_after")
def test_a_bad_command_is_one_line(case, fitted, good, tmp_path, capsys):
    words, message = COMMANDS[case]
    made(tmp_path / "bad")
    (tmp_path / "bad/a.png").write_bytes(b"words")
    made(tmp_path / "good")
    for number, image in enumerate(good):
        (tmp_path / f"good/{number}.png").write_bytes(png(image))
    fitted.save(tmp_path / "part.adlib")
    before = sorted(tmp_path.rglob("*"))
    assert main([word.format(tmp_path) for word in words]) != 0
    told = capsys.readouterr().err
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, told
    assert message in lines[0]
    assert "Traceback" not in told
    assert sorted(tmp_path.rglob("*")) == before


# What is unusual but right is taken as it is.
ODD = {
    "1x1 pixels": np.full((1, 1), 7, np.uint8),
    "one row": texture(1)[:1],
    "a long strip": np.tile(texture(1), (1, 400)),
    "RGBA": np.zeros((9, 9, 4), np.uint8),
    "one channel": texture(1)[..., None],
    "16 bits": texture(1).astype(np.uint16) * 257,
    "big-endian": texture(1).astype(">u2") * 257,
    "half precision": (texture(1) / 255).astype(np.float16),
    "a view with gaps": np.repeat(texture(1), 3, axis=1)[::-1, ::3],
    "read only": np.frombuffer(texture(1).tobytes(), np.uint8).reshape(64, 64),
}
COUNTED.append(ODD)


@pytest.mark.parametrize("case", ODD)
@pytest.mark.usefixtures("before_and_after")
def test_an_odd_image_is_scored(case, fitted):
    assert np.isfinite(fitted.score([ODD[case]])).all()


@pytest.mark.usefixtures("before_and_after")
def test_the_same_path_twice_is_two_images(fitted, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    scores = fitted.score([tmp_path / "a.png"] * 2)
    assert scores[0] == scores[1] == fitted.score(GREY[None])[0]


@pytest.mark.usefixtures("before_and_after")
def test_loops_of_links_to_folders_do_not_matter(fitted, tmp_path):
    made(tmp_path / "in")
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "in/loop").symlink_to(tmp_path)
    with pytest.warns(InputWarning, match="left out: 1 linked folders"):
        assert len(fitted.score(tmp_path)) == 1


@pytest.mark.usefixtures("before_and_after")
def test_a_folder_that_cannot_be_read_is_an_error(fitted, tmp_path, monkeypatch):
    made(tmp_path / "closed")
    (tmp_path / "a.png").write_bytes(png())
    real = os.scandir

    def scandir(path):
        if Path(path).name == "closed":  # root may read everything
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ImageError, match=r"closed', which cannot be read \(Permission"):
        fitted.score(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="names there are Unicode")
@pytest.mark.usefixtures("before_and_after")
def test_a_name_that_is_not_utf_8_comes_back_as_it_was(fitted, tmp_path, capfdbinary):
    name = b"in/teil-\xff\xe4.png"
    made(tmp_path / "in")
    (tmp_path / os.fsdecode(name)).write_bytes(png())
    fitted.save(tmp_path / "part.adlib")
    command = ["score", str(tmp_path / "part.adlib"), str(tmp_path / "in")]
    assert main([*command, "-o", str(tmp_path / "table.csv")]) == 0
    assert name in (tmp_path / "table.csv").read_bytes()
    learned = clone(fitted).fit(tmp_path / "in")
    learned.save(tmp_path / "other.adlib")
    loaded = adlib.load(tmp_path / "other.adlib")
    assert loaded.training_images_ == [str(tmp_path / os.fsdecode(name))]
    assert main(["info", str(tmp_path / "other.adlib")]) == 0
    (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert main(command) == 1


@pytest.mark.usefixtures("before_and_after")
def test_the_longest_name_that_a_folder_takes_can_be_saved_and_read(fitted, tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / ("m" * (longest - 6) + ".adlib")
    fitted.save(path)
    image = tmp_path / ("i" * (longest - 4) + ".png")
    image.write_bytes(png())
    assert adlib.load(path).score(image) == fitted.score(GREY[None])


def test_the_table_is_long():
    assert sum(map(len, COUNTED)) >= 80
