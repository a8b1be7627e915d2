"""Every example runs as it stands, without an argument."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from adlib.datasets import demo_root

EXAMPLES = Path(__file__).parent.parent / "examples"
PHASES = sorted(EXAMPLES.glob("phase*.py"))


def run(path, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


def test_the_first_steps_run(capsys, monkeypatch):
    run(EXAMPLES / "first_steps.py", monkeypatch)
    assert "loaded scores equal: True" in capsys.readouterr().out


def test_the_phases_run_one_after_the_other(
    tmp_path, monkeypatch, capsys, tmp_path_factory
):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)
    data = demo_root()
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    for path in PHASES:
        run(path, monkeypatch)
        assert "Written to" in capsys.readouterr().out
    folders = {path.name for path in tmp_path.iterdir()}
    assert folders == {"data", "outputs"}
    assert (tmp_path / "data/processed/clean_splits.json").is_file()
    assert (tmp_path / "data/processed/shifted_splits.json").is_file()
    outputs = tmp_path / "outputs"
    models = sorted(path.name for path in (outputs / "models").iterdir())
    names = ("brick", "grass", "gravel")
    methods = ("padim", "patchcore")
    domains = ("clean", "shift")
    expected = [f"{m}_{n}_{d}.adlib" for m in methods for n in names for d in domains]
    assert models == expected
    results = json.loads((outputs / "results/clean_results.json").read_text())
    thresholds = json.loads((outputs / "thresholds/clean_thresholds.json").read_text())
    for method, found in results["methods"].items():
        assert found["macro_average"]["image_auroc"] > 0.7
        for name, one in found["classes"].items():
            assert one["threshold"] == thresholds[method][name]
            assert one["pixel"]["aupro"] > 0.5
    assert len(results["comparison"]["classes"]) == 3
    pictures = sorted((tmp_path / "outputs").rglob("*.png"))
    assert len(pictures) == 3 * (2 + 3 + 1 + 1 + 4 + 2 * 4 + 2 * (2 + 2)) + 3 + 4
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 200
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_a_phase_takes_a_root_and_classes(tmp_path, monkeypatch, tmp_path_factory):
    root = demo_root(tmp_path_factory.getbasetemp() / "cache")
    monkeypatch.chdir(tmp_path)
    path = EXAMPLES / "phase01_explore_and_split.py"
    run(path, monkeypatch, "--data", str(root), "--classes", "grass", "--work", "there")
    drawn = {path.name for path in (tmp_path / "there/outputs/phase01").iterdir()}
    assert drawn == {"counts.json", "grass_examples.png", "grass_numbers.png"}


def test_a_broken_set_stops_the_setup(tmp_path, monkeypatch, capsys):
    for place in ("train/good", "test/good", "test/hole"):
        (tmp_path / "tile" / place).mkdir(parents=True)
        (tmp_path / "tile" / place / "0.png").write_bytes(b"no image")
    path = EXAMPLES / "phase00_setup.py"
    with pytest.raises(SystemExit, match="mend what is listed above"):
        run(path, monkeypatch, "--data", str(tmp_path), "--work", str(tmp_path / "w"))
    assert "cannot be decoded" in capsys.readouterr().out
