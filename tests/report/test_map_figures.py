"""The right images are shown, all maps on one scale."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import Sample
from adlib.report import (
    MapExample,
    certain_and_uncertain,
    failure_grid,
    map_grid,
    save_figure,
)


def test_images_stand_under_one_heading_most_certain_first():
    scores = np.array([9.0, 6.0, 5.5, 4.0, 7.0, 3.0, 1.0, 4.5, 2.0])
    anomalous = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    listed = certain_and_uncertain(scores, anomalous, 5.0, 2)
    assert listed == {
        "found, certain": [0, 1],
        "found, just": [2],
        "missed": [3],
        "false alarm": [4],
        "good, just": [7, 5],
        "good, certain": [6, 8],
    }


def test_an_image_at_the_threshold_is_good_and_equal_ones_keep_their_order():
    listed = certain_and_uncertain(np.full(4, 5.0), np.zeros(4, bool), 5.0, 3)
    assert listed["good, certain"] == [0, 1, 2]
    assert listed["good, just"] == [3]
    assert listed["false alarm"] == listed["found, certain"] == []


def example(height, width, colour, title="a very long name of a defect type 12.3"):
    rng = np.random.default_rng(height)
    shape = (height, width, 3) if colour else (height, width)
    mask = np.zeros((height, width), bool)
    mask[2:8, 3:9] = True
    maps = rng.random((16, 16), dtype=np.float32)
    return MapExample(rng.random(shape, dtype=np.float32), maps, mask, title)


def test_the_grid_shows_images_over_maps_and_says_where_there_are_none(tmp_path):
    rows = [
        ("found", [example(40, 60, True), example(60, 30, False)]),
        ("missed", []),
        ("good", [example(32, 32, False)._replace(mask=None)]),
    ]
    figure = map_grid(rows, (0.25, 0.75), "screw")
    shown = [axes.images[0].get_array().shape for axes in figure.axes if axes.images]
    assert shown == [
        (40, 60, 3),
        (60, 30),
        (40, 60, 3),
        (60, 30, 3),
        (32, 32),
        (32, 32, 3),
    ]
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["none"]
    outlined = [bool(axes.collections) for axes in figure.axes if axes.images]
    assert outlined == [True] * 4 + [False] * 2
    bar = figure.axes[-1]
    assert bar.get_xlabel() == "anomaly map"
    assert bar.get_xlim() == (0.25, 0.75)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert all(len(title) <= 22 for title in titles)
    for name in ("one.png", "two.png"):
        save_figure(map_grid(rows, (0.25, 0.75), "screw"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert np.asarray(image).std() > 10


def test_failures_are_drawn_against_thresholds(fitted, folder):
    sample = Sample(folder / "0.png", 0, "good", None, "part", "test")
    with pytest.raises(
        ValueError, match=r"models of failure_grid .*'ours' without one"
    ):
        failure_grid([sample], {"ours": fitted}, "Failures")
