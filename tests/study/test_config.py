"""The configuration is checked before anything runs, and says what is allowed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from adlib.datasets import ShiftSettings
from adlib.study import Config, read_config, set_seed
from adlib.study._config import config_from_arguments

EXAMPLE = Path(__file__).parents[2] / "examples" / "config.yaml"


def written(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_the_example_states_the_defaults_and_every_key():
    assert read_config(EXAMPLE) == Config()
    import yaml

    stated = yaml.safe_load(EXAMPLE.read_text())
    defaults = Config().model_dump(mode="json")
    assert stated.keys() == defaults.keys()
    for name, section in defaults.items():
        if isinstance(section, dict):
            assert stated[name].keys() == section.keys()


def test_an_empty_file_is_the_default(tmp_path):
    assert read_config(written(tmp_path, "# nothing\n")) == Config()


def test_what_is_stated_counts_and_the_rest_stays(tmp_path):
    config = read_config(
        written(
            tmp_path, "seed: 7\ndata: {root: x, classes: [nut]}\nshift: {blur: null}"
        )
    )
    assert (config.seed, config.data.root) == (7, Path("x"))
    assert config.shift == ShiftSettings(blur=None)
    assert config.split == Config().split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead: 1", r"sead is not a key. Allowed are: seed, data, split, paths"),
        ("data: {names: [a]}", r"data.names is not a key. Allowed are: root, cl"),
        ("shift: {hue: [0, 1]}", r"shift.hue is not a key. Allowed are: rotation, "),
        ("seed: -1", r"seed: must be greater than or equal to 0; got -1"),
        ("seed: true", r"seed: must be a valid integer; got True"),
        ("seed: '42'", r"seed: must be a valid integer; got '42'"),
        ("split: {train_ratio: 1.5}", r"split.train_ratio: must be less than 1; got"),
        ("patchcore: {coreset: true}", r"patchcore.coreset: must be a valid number"),
        ("backbone: {image_size: 8}", r"backbone.image_size: must be greater than or"),
        ("data: {classes: []}", r"data.classes: .*at least 1 item"),
        ("data:", r"data: must be"),
        ("metrics: [image_auroc]", r"metrics: must be of auroc, .*, aupimo; got"),
        ("shift: {rotation: [10, -10]}", r"shift: rotation of ShiftSettings must be"),
        ("shift: {backend: cv2}", r"shift.backend: must be 'torchvision' or 'alb"),
        ("shift: {noise: 3}", r"shift.noise: must be a valid tuple; got 3"),
        ("[1, 2]", r"config.yaml must be a mapping; got \[1, 2\]"),
        ("seed: [", r"config.yaml must be YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_config(written(tmp_path, text))


def test_every_wrong_key_has_one_line(tmp_path):
    path = written(tmp_path, "seed: x\nmetrics: [roc]\nsead: 1")
    with pytest.raises(ValueError, match=r"config.yaml: ") as caught:
        read_config(path)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[-2].split()[-1] for line in lines[:2]] == [
        "seed",
        "metrics",
    ]
    assert len(lines) == 3


def test_the_command_line_changes_the_file(tmp_path):
    path = written(tmp_path, "seed: 7")
    arguments = ["--data", "x", "--classes", "nut", "bolt", "--work", "there"]
    config = config_from_arguments("What it does.", path, arguments)
    assert config.seed == 7
    assert config.data.root == Path("x")
    assert config.data.classes == ("nut", "bolt")
    assert config.paths.clean_splits == Path("there/data/processed/clean_splits.json")
    assert config_from_arguments(None, EXAMPLE, []) == Config()


def test_a_seed_governs_every_generator():
    def draws():
        set_seed(3)
        return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        assert draws() == draws()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        torch.backends.cudnn.deterministic = False
    with pytest.raises(ValueError, match="seed of set_seed must be an integer in"):
        set_seed(-1)
