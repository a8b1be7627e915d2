"""The study's split: complete, without overlap, drawn once and read back."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.datasets import (
    NORMAL,
    create_clean_split,
    load_clean_splits,
    read_samples,
    save_clean_splits,
)
from tests.datasets.test_layouts import put


def data_set(root, n_train=10, n_good=4, **defects):
    put(root, *(f"nut/train/good/{i:03d}.png" for i in range(n_train)))
    put(root, *(f"nut/test/good/{i:03d}.png" for i in range(n_good)))
    for name, count in defects.items():
        put(root, *(f"nut/test/{name}/{i:03d}.png" for i in range(count)))
        put(root, *(f"nut/ground_truth/{name}/{i:03d}_mask.png" for i in range(count)))
    return root


@pytest.fixture
def root(tmp_path):
    return data_set(tmp_path / "data", n_train=20, crack=10, hole=5, thread=1)


def test_shares_are_those_of_the_study(root):
    split = create_clean_split(read_samples(root), "nut")
    assert split.counts() == {
        "train": {"good": 16},
        "val": {"good": 4, "crack": 3, "hole": 2},
        "test": {"crack": 7, "good": 4, "hole": 3, "thread": 1},
    }
    assert {s.label for s in split.train} == {NORMAL}
    assert {s.split for s in split.train} == {"train"}


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(*[st.integers(2, 30)] + [st.integers(0, 9)] * 3),
    ratios=st.tuples(*[st.floats(0.01, 0.99)] * 2),
    seed=st.integers(0, 2**32),
)
def test_every_image_is_in_one_part(counts, ratios, seed, tmp_path_factory):
    n_train, n_good, n_crack, n_hole = counts
    folder = tmp_path_factory.mktemp("data")
    samples = read_samples(
        data_set(folder, n_train=n_train, n_good=n_good, crack=n_crack, hole=n_hole)
    )
    train_ratio, val_anomaly_ratio = ratios
    options = {"train_ratio": train_ratio, "val_anomaly_ratio": val_anomaly_ratio}
    split = create_clean_split(samples, "nut", **options, random_state=seed)
    parts = [split.train, split.val, split.test]
    paths = [sample.image_path for part in parts for sample in part]
    assert sorted(paths) == sorted(s.image_path for s in samples)
    assert split.train
    assert any(s.label == NORMAL for s in split.val)
    again = create_clean_split(samples[::-1], "nut", **options, random_state=seed)
    assert again == split


def test_another_seed_draws_another_split(root):
    samples = read_samples(root)
    first, second = (
        create_clean_split(samples, "nut", random_state=s) for s in (42, 43)
    )
    assert first.train != second.train
    assert first.counts() == second.counts()


def test_a_split_is_read_back_wherever_the_data_lies_now(root, tmp_path):
    split = create_clean_split(read_samples(root), "nut")
    path = tmp_path / "clean_splits.json"
    save_clean_splits(path, [split], root)
    assert load_clean_splits(path, root) == {"nut": split}
    assert str(tmp_path) not in path.read_text()
    moved = root.rename(tmp_path / "elsewhere")
    loaded = load_clean_splits(path, moved)["nut"]
    assert loaded.counts() == split.counts()
    assert all(s.mask_path.is_file() for s in loaded.test if s.label != NORMAL)


def test_a_split_is_never_drawn_over(root, tmp_path):
    split = create_clean_split(read_samples(root), "nut")
    path = tmp_path / "clean_splits.json"
    save_clean_splits(path, [split], root)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="split of 'nut' comes twice, or is in"):
        save_clean_splits(path, [split], root)
    assert path.read_bytes() == before


def test_another_class_is_added_and_the_first_stays_as_it_was(root, tmp_path):
    samples = read_samples(root)
    split = create_clean_split(samples, "nut")
    bolts = [dataclasses.replace(sample, class_name="bolt") for sample in samples]
    other = create_clean_split(bolts, "bolt", random_state=1)
    path = tmp_path / "clean_splits.json"
    save_clean_splits(path, [split], root)
    save_clean_splits(path, [other], root)
    assert load_clean_splits(path, root) == {"nut": split, "bolt": other}
    assert load_clean_splits(path, root, ["bolt"]) == {"bolt": other}
    with pytest.raises(ValueError, match="has no class 'screw'; it has nut, bolt"):
        load_clean_splits(path, root, ["screw"])


def test_what_does_not_fit_is_refused(root, tmp_path):
    samples = read_samples(root)
    with pytest.raises(ValueError, match="train_ratio of create_clean_split must be"):
        create_clean_split(samples, "nut", train_ratio=1.0)
    with pytest.raises(ValueError, match="class 'bolt' must have at least 2 normal"):
        create_clean_split(samples, "bolt")
    split = create_clean_split(samples, "nut")
    with pytest.raises(FileExistsError, match="split of 'nut' comes twice"):
        save_clean_splits(tmp_path / "twice.json", [split, split], root)
    assert not (tmp_path / "twice.json").exists()
    path = tmp_path / "clean_splits.json"
    save_clean_splits(path, [split], root)
    with pytest.raises(FileNotFoundError, match="Pass the root"):
        load_clean_splits(path, tmp_path)
    content = json.loads(path.read_text())
    for change, fragment in (
        (lambda c: c.update(version=2), "has version 2"),
        (lambda c: c.pop("classes"), "does not hold splits"),
        (lambda c: c["classes"]["nut"]["test"].pop(), "counts of class 'nut'"),
        (
            lambda c: c["classes"]["nut"].update(test=c["classes"]["nut"]["train"]),
            "counts of class|twice",
        ),
    ):
        changed = json.loads(json.dumps(content))
        change(changed)
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=fragment):
            load_clean_splits(path, root)
