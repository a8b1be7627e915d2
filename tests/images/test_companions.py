"""What pandas, torch and Hugging Face hold images in goes straight to a detector."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from adlib import PatchCore
from adlib.exceptions import ImageError
from adlib.images import open_source
from tests.conftest import texture

needs_datasets = pytest.mark.skipif(
    find_spec("datasets") is None, reason="Hugging Face's datasets is not installed"
)


@pytest.fixture
def paths(folder):
    return [str(path) for path in sorted(folder.glob("*.png"))]


@pytest.fixture
def expected(fitted, paths):
    return fitted.score(paths)


class Labelled(Dataset):
    """Tensors and labels, read when they are asked for."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        pixels = np.array(Image.open(self.paths[i]))
        return torch.from_numpy(pixels)[None].float() / 255, 0


class Named(Labelled):
    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        return {"image": image, "label": label, "image_path": self.paths[i]}


class Streamed(IterableDataset):
    def __init__(self, paths):
        self.images = Labelled(paths)

    def __iter__(self):
        return (self.images[i][0] for i in range(len(self.images)))


def check(X, fitted, expected, names):
    """Check what a detector says of a source, and what it learns from it."""
    np.testing.assert_allclose(fitted.score(X), expected, rtol=1e-6)
    results = list(fitted.inspect(X))
    assert [result.path for result in results] == names
    np.testing.assert_allclose([r.score for r in results], expected, rtol=1e-6)
    again = PatchCore(**fitted.get_params()).fit(X)
    bank = fitted.memory_bank_.embeddings
    np.testing.assert_allclose(again.memory_bank_.embeddings, bank, atol=1e-5)


def numbered(paths):
    return [f"image {i}" for i in range(len(paths))]


@pytest.mark.parametrize("dtype", ["object", "string"])
def test_pandas_columns_of_paths(dtype, paths, fitted, expected):
    numbers = [5, 3, 1, 9, 7, 8]  # which count for nothing
    column = pd.DataFrame({"path": paths}, index=numbers)["path"].astype(dtype)
    check(column, fitted, expected, paths)
    check(column.map(Image.open), fitted, expected, numbered(paths))


def test_a_pandas_table_is_refused_with_what_to_pass(paths, fitted):
    with pytest.raises(TypeError, match=r"list\(X\['path'\]\)"):
        fitted.score(pd.DataFrame({"path": paths}))


def test_splits_are_refused_with_what_to_pass(paths, fitted):
    with pytest.raises(TypeError, match=r"one of its entries, such as X\['train'\]"):
        fitted.score({"train": paths, "test": paths})
    with pytest.raises(TypeError, match=r"""A mapping's image is its "image"\."""):
        fitted.score([{"img": texture(0), "label": 0}])


TORCH = {
    "dataset": Labelled,
    "subset": lambda paths: Subset(Labelled(paths), range(6)),
    "parts": lambda paths: ConcatDataset([Labelled(paths[:2]), Labelled(paths[2:])]),
    "tensors": lambda paths: TensorDataset(torch.stack(list(Streamed(paths)))),
    "stream": Streamed,
    "loader": lambda paths: DataLoader(Labelled(paths), batch_size=4),
    "workers": lambda paths: DataLoader(Labelled(paths), batch_size=4, num_workers=1),
}


@pytest.mark.parametrize("kind", TORCH)
def test_torchs_datasets_and_loaders(kind, paths, fitted, expected):
    check(TORCH[kind](paths), fitted, expected, numbered(paths))


@pytest.mark.parametrize("make", [Named, lambda p: DataLoader(Named(p), batch_size=4)])
def test_paths_of_torchs_entries_name_the_images(make, paths, fitted, expected):
    check(make(paths), fitted, expected, paths)


def test_files_as_bytes_and_paths(paths, fitted, expected):
    held = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    check(held, fitted, expected, numbered(paths))
    named = [file | {"path": f"{i}.png"} for i, file in enumerate(held)]
    source = open_source(iter(named), "test")
    assert [item.name for item in source.items] == [f"{i}.png" for i in range(6)]
    places = [{"bytes": None, "path": path} for path in paths]
    check(places, fitted, expected, paths)


def test_bytes_that_are_no_image_are_named(fitted):
    held = [{"bytes": b"no image", "path": "part.png"}]
    with pytest.raises(ValueError, match=r"part\.png must be a readable image"):
        fitted.score(held)
    for wrong in ((None, None), (None, 5), ("text", "part.png")):
        with pytest.raises(TypeError, match="image 0 of X must be a path"):
            fitted.score([dict(zip(("bytes", "path"), wrong, strict=True))])


def test_bytes_of_a_format_that_cannot_be_read_here_are_named(monkeypatch, fitted):
    monkeypatch.setattr("adlib.images._decode.find_spec", lambda name: None)
    held = [{"bytes": b"pixels", "path": "part.heic"}]
    with pytest.raises(ImageError, match=r"part\.heic: cannot be .* pip install"):
        fitted.score(held)


def test_an_empty_path_is_named(paths, fitted):
    with pytest.raises(ImageError, match="image 1 must be a path; it is an empty text"):
        fitted.score(pd.Series([paths[0], ""]))


def test_names_that_are_no_paths_are_named(fitted):
    image = np.stack([texture(0), texture(1)])
    for wrong in (5, [1, 2], torch.tensor([1, 2])):
        with pytest.raises(TypeError, match="image_path of X must be paths; got"):
            fitted.score([{"image": image, "image_path": wrong}])
    source = open_source([{"image": image, "image_path": ["a", None]}], "test")
    assert [item.name for item in source.items] == ["a", "image 1"]


@pytest.fixture
def hugging(paths):
    datasets = pytest.importorskip("datasets")
    held = datasets.Dataset.from_dict({"image": paths, "label": [0] * len(paths)})
    return held.cast_column("image", datasets.Image())


HUGGING = {
    "dataset": lambda held: held,
    "column": lambda held: held["image"],
    "list": lambda held: held[:]["image"],
    "numpy": lambda held: held.with_format("numpy"),
    "stream": lambda held: held.to_iterable_dataset(),
    "loader": lambda held: DataLoader(held.with_format("torch"), batch_size=4),
}


@needs_datasets
@pytest.mark.parametrize("kind", HUGGING)
def test_hugging_faces_images(kind, hugging, paths, fitted, expected):
    check(HUGGING[kind](hugging), fitted, expected, numbered(paths))


@needs_datasets
def test_hugging_faces_images_undecoded_keep_their_names(
    hugging, paths, fitted, expected
):
    import datasets

    undecoded = hugging.cast_column("image", datasets.Image(decode=False))
    check(undecoded, fitted, expected, paths)
    check(undecoded["image"], fitted, expected, paths)


@needs_datasets
def test_hugging_faces_splits_are_refused_with_what_to_pass(hugging, fitted):
    import datasets

    with pytest.raises(TypeError, match=r"one of its entries, such as X\['good'\]"):
        fitted.score(datasets.DatasetDict({"good": hugging}))
