"""The demo's page: whole, linked, and the same when written again."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from adlib.overlays._demo import DemoResult, write_demo_page


@pytest.fixture(scope="module")
def result(fitted, mixed, tmp_path_factory):
    """What the demo could have found on six images."""
    root = tmp_path_factory.mktemp("cells")
    names = [f"cell{i}.png" for i in range(6)]
    for name, image in zip(names, mixed, strict=True):
        Image.fromarray(image).save(root / name)
    paths = [str(root / name) for name in names]
    order = np.argsort(fitted.score(mixed)).tolist()
    return DemoResult(
        model=fitted,
        paths=paths,
        defective=np.arange(6) >= 3,
        scores=fitted.score(paths),
        auroc=0.987654,
        most=order[::-1][:2],
        least=order[:2],
        maps=dict(enumerate(fitted.anomaly_maps(paths))),
        fit_seconds=1.25,
        score_seconds=0.6,
    )


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    return write_demo_page(result, tmp_path_factory.mktemp("demo") / "new" / "folder")


def test_the_page_and_its_pictures_exist(page):
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"index.html", "histogram.png", "cells.png"}
    for name in ("histogram.png", "cells.png"):
        with Image.open(page.parent / name) as image:
            image.load()
            assert image.format == "PNG"
            assert image.getextrema() != ((255, 255),) * len(image.getbands())


def test_all_links_resolve_inside_the_folder(page):
    targets = re.findall(r'(?:src|href)="([^"]*)"', page.read_text("utf-8"))
    assert {"histogram.png", "cells.png"} <= set(targets)
    assert all((page.parent / target).is_file() for target in targets)


def test_the_page_tells_the_results(page, result):
    text = page.read_text("utf-8")
    for shown in ("0.988", "100 ms", "6 photographs", "called 3 defective"):
        assert shown in " ".join(text.split())
    assert "nan" not in text.lower()
    assert "{{" not in text


def test_writing_again_gives_the_same_bytes_and_keeps_other_files(page, result):
    (page.parent / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    write_demo_page(result, page.parent)
    after = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    (page.parent / "notes.txt").unlink()
    assert after == before


def test_a_page_of_one_kind_of_cell_can_be_written(result, tmp_path):
    one_kind = dataclasses.replace(result, defective=np.zeros(6, bool))
    text = write_demo_page(one_kind, tmp_path).read_text("utf-8")
    assert "called 0 defective" in " ".join(text.split())
