"""The study's data: looked at, divided once, and shifted, from one configuration."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import check_shifted_set
from adlib.report import (
    class_figure,
    example_rows,
    light_rows,
    pair_rows,
    part_rows,
    picture_grid,
    save_figure,
)
from adlib.study import (
    Config,
    clean_splits,
    environment,
    samples_of,
    shifted_splits,
    summarise,
)
from tests.conftest import scratched, texture


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes: "tile" with masks and two sizes, "plain" without masks."""
    root = tmp_path_factory.mktemp("set")
    for name in ("tile", "plain"):
        for place, n_images in (
            ("train/good", 6),
            ("test/good", 2),
            ("test/scratch", 4),
        ):
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


def test_a_summary_says_what_is_there(data, tmp_path):
    found = summarise(samples_of(config_for(data, tmp_path)))
    assert list(found) == ["plain", "tile"]
    tile, plain = found["tile"], found["plain"]
    assert tile.counts == {"train": {"good": 6}, "test": {"good": 2, "scratch": 4}}
    assert tile.sizes == {(48, 48): 3, (64, 64): 9}
    assert (tile.modes, plain.modes) == ({"L": 12}, {"RGB": 12})
    assert tile.defect_ratios["scratch"][1:] == [4 * 48 / 64**2] * 3
    assert (tile.n_masks, tile.n_anomalous) == (4, 4)
    assert (plain.n_masks, plain.n_anomalous) == (0, 4)  # absent, not zero
    assert plain.defect_ratios == {}
    assert plain.size_text() == "64x64 pixels"
    assert tile.size_text() == "48 to 64 pixels high, 48 to 64 wide (2 sizes)"


def test_a_split_is_drawn_once_and_read_back(data, tmp_path):
    config = config_for(data, tmp_path)
    first = clean_splits(config)
    written = config.paths.clean_splits.read_bytes()
    assert clean_splits(config) == first
    assert config.paths.clean_splits.read_bytes() == written
    other = config_for(data, tmp_path, seed=43)
    with pytest.raises(ValueError, match="holds a split of 'plain' with seed"):
        clean_splits(other)


def test_a_class_that_joins_later_leaves_the_others_as_they_were(data, tmp_path):
    first = config_for(data, tmp_path, data={"root": data, "classes": ["tile"]})
    split = clean_splits(first)["tile"]
    both = clean_splits(config_for(data, tmp_path))
    assert both["tile"] == split
    assert list(both) == ["plain", "tile"]


def test_the_twin_is_whole_with_masks_and_without(data, tmp_path):
    config = config_for(data, tmp_path)
    shifted = shifted_splits(config)
    assert check_shifted_set(config.paths.shifted_splits, config.paths.shifted) == []
    record = json.loads(config.paths.shifted_splits.read_text())
    assert list(record["classes"]) == ["plain", "tile"]
    masks = {
        name: sum(s.mask_path is not None for part in of.parts().values() for s in part)
        for name, of in shifted.items()
    }
    assert masks == {"plain": 0, "tile": 4}


def test_pictures_are_drawn_with_masks_and_without(data, tmp_path):
    config = config_for(data, tmp_path)
    samples, clean = samples_of(config), clean_splits(config)
    shifted, found = shifted_splits(config), summarise(samples)
    for name, n_rows in (("tile", 3), ("plain", 2)):
        own = [sample for sample in samples if sample.class_name == name]
        rows = example_rows(own)
        assert [heading for heading, _ in rows] == ["good", "anomalous", "masks"][
            :n_rows
        ]
        pairs = pair_rows(clean[name], shifted[name])
        lit = light_rows(own[0], config.shift)
        parts = part_rows(own[0], config.shift, 42)
        assert [len(pictures) for _, pictures in lit] == [6, 6]
        assert [heading for heading, _ in parts] == ["mild", "moderate", "severe"]
        for number, drawn in enumerate((rows, pairs, lit, parts)):
            path = tmp_path / f"{name}{number}.png"
            save_figure(picture_grid(drawn, name), path)
            with Image.open(path) as picture:
                assert np.asarray(picture.convert("L")).std() > 10
        figure = class_figure(found[name], clean[name].counts())
        n_panels = {"tile": 3, "plain": 1}[name]
        assert len(figure.axes) == n_panels


def test_the_environment_names_what_results_depend_on():
    import torch

    found = environment()
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
    assert all(isinstance(value, str) and value for value in found.values())
