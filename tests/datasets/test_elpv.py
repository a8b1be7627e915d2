"""The solar cells are all there, in order, with labels that experts could give."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from PIL import Image

from adlib.datasets import create_clean_split, elpv_samples


@pytest.mark.parametrize(
    ("kind", "n_functional", "n_defective"), [("mono", 588, 313), ("poly", 920, 402)]
)
def test_samples_are_the_cells_on_which_experts_were_sure(
    kind, n_functional, n_defective
):
    samples = elpv_samples(kind)
    found = Counter((s.label, s.defect_type, s.split) for s in samples)
    assert found == {
        (0, "good", "train"): n_functional,
        (1, "defective", "test"): n_defective,
    }
    assert {(s.class_name, s.mask_path) for s in samples} == {(f"elpv-{kind}", None)}


@pytest.mark.parametrize("kind", ["mono", "poly"])
def test_cells_are_in_the_order_of_the_data_set(kind):
    paths = [sample.image_path for sample in elpv_samples(kind)]
    assert paths == sorted(set(paths))
    assert all(path.is_file() for path in paths)


def test_a_cell_is_a_grey_photograph():
    with Image.open(elpv_samples("mono")[0].image_path) as photograph:
        assert photograph.size == (300, 300)
        assert photograph.mode == "L"


@pytest.mark.parametrize(("kind", "error"), [("thin", ValueError), (None, TypeError)])
def test_an_unknown_kind_is_refused(kind, error):
    with pytest.raises(error, match="kind of elpv_samples must be one of 'mono', 'po"):
        elpv_samples(kind)


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(ImportError, match=r"elpv-dataset.*adlib-vision\[demo\]"):
        elpv_samples("mono")


def test_a_set_without_a_published_split_keeps_normal_images_to_test_with():
    split = create_clean_split(elpv_samples("mono"), "elpv-mono")
    assert split.counts() == {
        "train": {"good": 470},
        "val": {"good": 59, "defective": 94},
        "test": {"good": 59, "defective": 219},
    }
