"""The solar cells are all there, in order, with labels that experts could give."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from PIL import Image

from adlib.datasets import create_clean_split, elpv_samples
from adlib.datasets._elpv import elpv_cells


@pytest.mark.parametrize(("kind", "n_cells"), [("mono", 1074), ("poly", 1550)])
def test_each_kind_has_its_cells_in_the_order_of_the_data_set(kind, n_cells):
    cells = elpv_cells(kind)
    paths = [cell.path for cell in cells]
    assert len(set(paths)) == n_cells
    assert paths == sorted(paths)
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("kind", "judged"), [("mono", (588, 117, 56, 313)), ("poly", (920, 178, 50, 402))]
)
def test_probabilities_are_thirds_as_published(kind, judged):
    counts = Counter(round(3 * cell.defect_probability) for cell in elpv_cells(kind))
    assert tuple(counts[thirds] for thirds in range(4)) == judged


def test_a_cell_is_a_grey_photograph():
    with Image.open(elpv_cells("mono")[0].path) as photograph:
        assert photograph.size == (300, 300)
        assert photograph.mode == "L"


@pytest.mark.parametrize(("kind", "error"), [("thin", ValueError), (None, TypeError)])
def test_an_unknown_kind_is_refused(kind, error):
    with pytest.raises(error, match="kind of elpv_cells must be one of 'mono', 'poly'"):
        elpv_cells(kind)


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(ImportError, match=r"elpv-dataset.*adlib-vision\[demo\]"):
        elpv_cells("mono")


def test_samples_are_the_cells_on_which_experts_were_sure():
    samples = elpv_samples("mono")
    found = Counter((s.label, s.defect_type, s.split) for s in samples)
    assert found == {(0, "good", "train"): 588, (1, "defective", "test"): 313}
    assert {(s.class_name, s.mask_path) for s in samples} == {("elpv-mono", None)}


def test_a_set_without_a_published_split_keeps_normal_images_to_test_with():
    split = create_clean_split(elpv_samples("mono"), "elpv-mono")
    assert split.counts() == {
        "train": {"good": 470},
        "val": {"good": 59, "defective": 94},
        "test": {"good": 59, "defective": 219},
    }
