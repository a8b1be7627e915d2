"""What the demo writes: pages that open from a folder, a database, and a picture."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore
from adlib.overlays._demo import DemoResult, draw_cells
from adlib.serve._demo import write_demo
from adlib.serve._reviewed import Filter, Reviewed


@pytest.fixture(scope="module")
def result(good, others, mixed, tmp_path_factory):
    """What the demo could have found on six images."""
    root = tmp_path_factory.mktemp("cells")
    for i, image in enumerate(good):
        Image.fromarray(image).save(root / f"good{i}.png")
    model = PatchCore(image_size=64, coreset=0.2, progress=False)
    model.fit([root / f"good{i}.png" for i in range(len(good))])
    model.calibrate(others, false_positive_rate=0.2)
    names = [f"cell{i}.png" for i in range(6)]
    for name, image in zip(names, mixed, strict=True):
        Image.fromarray(image).save(root / name)
    paths = [str(root / name) for name in names]
    found = [dataclasses.replace(one, map=None) for one in model.inspect(paths)]
    scores = np.array([one.score for one in found], np.float32)
    order = np.argsort(scores).tolist()
    return DemoResult(
        model=model,
        paths=paths,
        defective=np.arange(6) >= 3,
        scores=scores,
        inspections=found,
        auroc=0.987654,
        most=order[::-1][:2],
        least=order[:2],
        maps=dict(enumerate(model.anomaly_maps(paths))),
        fit_seconds=1.25,
        score_seconds=0.6,
    )


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    return write_demo(result, folder)


def test_every_link_of_every_page_resolves_inside_the_folder(written):
    folder = written[1].parent
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == 8  # list, scores, six results
    for page in pages:
        text = page.read_text("utf-8")
        for target in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert (folder / target).is_file(), (page.name, target)
        assert "<form method=post" not in text
        assert 'action="/' not in text
        assert "CC BY-NC-SA 4.0" in text


def test_the_worst_come_first_and_follow_one_another(written, result):
    text = written[1].read_text("utf-8")
    shown = [int(n) for n in re.findall(r'class="card" href="result-(\d+)', text)]
    worst = np.argsort(-result.scores, kind="stable") + 1
    assert shown == worst.tolist()
    for number, after in zip(shown, [*shown[1:], None], strict=True):
        page = (written[1].parent / f"result-{number}.html").read_text("utf-8")
        following = re.search(r'<a rel="next" href="result-(\d+).html', page)
        assert (following and int(following[1])) == after


def test_a_result_is_compared_with_a_good_patch(written):
    folder = written[1].parent
    assert "Nearest good patch: good" in (folder / "result-6.html").read_text("utf-8")
    for kind in ("image.jpg", "map.png", "close.jpg", "near.jpg", "thumbnail.jpg"):
        with Image.open(folder / "pictures" / f"6-{kind}") as picture:
            picture.load()


def test_the_database_has_what_the_demo_found_and_the_experts_say(written, result):
    with Reviewed(written[0]) as results:
        rows = results.listed(Filter(), 99)[::-1]
        assert [row.result.score for row in rows] == result.scores.tolist()
        assert [row.defect for row in rows] == [0, 0, 0, 1, 1, 1]
        assert "experts" in results.labels(1)[0].labelled_by


def test_writing_again_replaces_it_and_keeps_other_files(written, result):
    (written[1].parent / "notes.txt").write_text("mine")
    write_demo(result, written[1].parent)
    with Reviewed(written[0]) as results:
        assert len(results.listed(Filter(), 99)) == 6
    assert (written[1].parent / "notes.txt").read_text() == "mine"


def test_the_picture_shows_cells_above_their_maps(result, tmp_path):
    draw_cells(result, tmp_path / "cells.png")
    with Image.open(tmp_path / "cells.png") as image:
        image.load()
        assert image.format == "PNG"
        assert image.getextrema() != ((255, 255),) * len(image.getbands())
    before = (tmp_path / "cells.png").read_bytes()
    draw_cells(result, tmp_path / "cells.png")
    assert (tmp_path / "cells.png").read_bytes() == before
