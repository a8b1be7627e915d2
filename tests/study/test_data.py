"""The study's data: looked at, divided once, and shifted, from one configuration."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import check_shifted_set
from adlib.report._pictures import examples, lights, pairs, picture_grid, shift_parts
from adlib.study import Config
from adlib.study._data import (
    clean_splits,
    counts,
    image_table,
    samples_of,
    shifted_splits,
)
from adlib.study._phase import environment, provenance
from tests.conftest import scratched, texture
from tests.study.conftest import value


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes: "tile" with masks and two sizes, "plain" without masks."""
    root = tmp_path_factory.mktemp("set")
    places = {"train/good": 6, "test/good": 2, "test/scratch": 4}
    for name in ("tile", "plain"):
        for place, n_images in places.items():
            folder = root / name / place
            folder.mkdir(parents=True)
            draw = scratched if "scratch" in place else texture
            for number in range(n_images):
                size = 48 if name == "tile" and number == 0 else 64
                image = Image.fromarray(draw(number, size))
                image = image if name == "tile" else image.convert("RGB")
                image.save(folder / f"{number:03}.png")
                if name == "tile" and "scratch" in place:
                    masks = root / "tile/ground_truth/scratch"
                    masks.mkdir(parents=True, exist_ok=True)
                    mask = np.zeros((size, size), np.uint8)
                    mask[size // 2 - 2 : size // 2 + 2, 8:-8] = 255
                    Image.fromarray(mask).save(masks / f"{number:03}_mask.png")
    return root


def config_for(root, place, **changes):
    paths = {name: place / name for name in ("processed", "shifted", "outputs")}
    return Config.from_dict({"data": {"root": root}, "paths": paths, **changes})


def test_counts_say_what_is_there(data, tmp_path):
    config = config_for(data, tmp_path)
    images = image_table(samples_of(config))
    assert len(images) == 24
    found = counts(images, clean_splits(config))
    expected = {
        ("tile", "published test scratch"): 4,
        ("tile", "pixels 48x48"): 3,
        ("tile", "pixels 64x64"): 9,
        ("tile", "mode L"): 12,
        ("plain", "mode RGB"): 12,
        ("plain", "train good"): 5,
        ("plain", "test scratch"): 3,
    }
    for (name, setting), n in expected.items():
        assert value(found, "n_images", class_=name, setting=setting) == n
    area = {"class_": "tile", "setting": "defect scratch"}
    assert value(found, "defect_area", **area) == 4 * 48 / 64**2
    assert value(found, "defect_area", "n", **area) == 4
    assert set(found.loc[found["metric"] == "defect_area", "class"]) == {"tile"}


def test_a_split_is_drawn_once_and_read_back(data, tmp_path):
    config = config_for(data, tmp_path)
    first = clean_splits(config)
    written = config.paths.clean_splits.read_bytes()
    assert clean_splits(config) == first
    assert config.paths.clean_splits.read_bytes() == written
    with pytest.raises(ValueError, match="holds a split of 'plain' with seed"):
        clean_splits(config_for(data, tmp_path, seed=43))


def test_a_class_that_joins_later_leaves_the_others_as_they_were(data, tmp_path):
    first = config_for(data, tmp_path, data={"root": data, "classes": ["tile"]})
    split = clean_splits(first)["tile"]
    both = clean_splits(config_for(data, tmp_path))
    assert both["tile"] == split
    assert list(both) == ["plain", "tile"]


@pytest.mark.slow
def test_the_twin_is_whole_and_its_pictures_can_be_drawn(data, tmp_path):
    config = config_for(data, tmp_path)
    samples, clean, shifted = (
        f(config) for f in (samples_of, clean_splits, shifted_splits)
    )
    assert check_shifted_set(config.paths.shifted_splits, config.paths.shifted) == []
    record = json.loads(config.paths.shifted_splits.read_text())
    assert list(record["classes"]) == ["plain", "tile"]
    for name in ("tile", "plain"):
        own = [sample for sample in samples if sample.class_name == name]
        rows = examples(own)
        assert list(rows) == ["good", "anomalous"]
        lit, parts = lights(own[0], config.shift), shift_parts(own[0], config.shift, 42)
        assert [len(pictures) for pictures in lit.values()] == [6, 6]
        assert list(parts) == ["mild", "moderate", "severe"]
        for drawn in (rows, pairs(clean[name], shifted[name]), lit, parts):
            picture_grid(drawn, name)


def test_provenance_names_what_results_depend_on():
    import torch

    found = provenance(Config(seed=7))
    assert found["seed"] == found["config"]["seed"] == 7
    assert "paths" not in found["config"]
    assert torch.__version__.startswith(environment()["torch"].partition("+")[0])
    assert all(isinstance(v, str) and v for v in found["environment"].values())
