"""The solar cells are all there, in order, with labels that experts could give."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from PIL import Image

from adlib.datasets import elpv_cells


@pytest.mark.parametrize(("kind", "n_cells"), [("mono", 1074), ("poly", 1550)])
def test_each_kind_has_its_cells_in_the_order_of_the_data_set(kind, n_cells):
    cells = elpv_cells(kind)
    paths = [cell.path for cell in cells]
    assert len(set(paths)) == n_cells
    assert paths == sorted(paths)
    assert {cell.kind for cell in cells} == {kind}
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
