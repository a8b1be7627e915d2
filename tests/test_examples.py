"""Every example runs; the phases on two small classes, with few images and patches."""

from __future__ import annotations

import csv
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adlib import PaDiM, PatchCore, metrics, thresholds
from adlib.datasets import demo_root, load_clean_splits, load_shifted_splits
from adlib.features import use_feature_cache
from adlib.study import _fitting, _label_free, _runs

EXAMPLES = Path(__file__).parent.parent / "examples"
SMALL = """
data: {classes: [brick, grass]}
backbone: {image_size: 160}
ablation: {n_training: 6, n_judged: 8}
"""
PHASES = sorted(EXAMPLES.glob("phase*.py"))


def run(path, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        use_feature_cache(None)  # a script's process would end here


def test_the_first_steps_run(capsys, monkeypatch):
    run(EXAMPLES / "first_steps.py", monkeypatch)
    assert "loaded scores equal: True" in capsys.readouterr().out


@pytest.fixture
def seen(monkeypatch):
    """Keep the paths of all images that reach a fit, and all scores with their image.

    A calibration is given scores, not paths; a score tells which images it is of.
    """
    fitted: set[Path] = set()
    scored: dict[float, set[Path]] = {}
    calibrated: set[float] = set()
    before = {kind: kind.fit for kind in (PatchCore, PaDiM)}

    def note_images(X):
        if hasattr(X, "gi_frame"):  # images shifted as they are read
            X = [sample.image_path for sample in X.gi_frame.f_locals["samples"]]
        fitted.update(map(Path, X))

    def fit(self, X, y=None):
        note_images(X)
        return before[type(self)](self, X, y)

    def partial_fit(self, X, y=None, *, call=PatchCore.partial_fit):
        note_images(X)
        return call(self, X, y)

    def calibrate(*scores, call=thresholds.calibrate_threshold, **options):
        for values in scores:
            calibrated.update(np.asarray(values).tolist())
        return call(*scores, **options)

    def transfer(limit, *scores, call=thresholds.transfer_threshold, **options):
        for values in scores:
            calibrated.update(np.asarray(values).tolist())
        return call(limit, *scores, **options)

    def probabilities(y, scores, *rest, call=metrics.fit_probabilities):
        calibrated.update(np.asarray(scores).tolist())
        return call(y, scores, *rest)

    def inspect(self, X, *, call=PatchCore.inspect):
        for one in call(self, X):
            scored.setdefault(one.score, set()).add(Path(one.path))
            yield one

    def score(self, X, y=None, *, call=PatchCore.score):
        found = call(self, X, y)
        if isinstance(X[0], Path):
            for path, value in zip(X, found.tolist(), strict=True):
                scored.setdefault(value, set()).add(path)
        return found

    for kind in (PatchCore, PaDiM):
        monkeypatch.setattr(kind, "fit", fit)
        monkeypatch.setattr(kind, "inspect", inspect)
        monkeypatch.setattr(kind, "score", score)
    monkeypatch.setattr(PatchCore, "partial_fit", partial_fit)
    for module in (_fitting, _runs, _label_free):
        for name, spy in (
            ("calibrate_threshold", calibrate),
            ("transfer_threshold", transfer),
            ("fit_probabilities", probabilities),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, spy)
    return fitted, scored, calibrated


def test_the_phases_run_one_after_the_other(
    tmp_path, monkeypatch, capsys, tmp_path_factory, seen
):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)
    data = demo_root()
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    small = tmp_path / "small.yaml"
    small.write_text(SMALL)
    for path in PHASES:
        run(path, monkeypatch, "--config", str(small))
        assert "Written to" in capsys.readouterr().out
    folders = {path.name for path in tmp_path.iterdir()}
    assert folders == {"data", "outputs", "small.yaml"}
    outputs = tmp_path / "outputs"
    check_models_and_results(outputs)
    check_the_report(outputs)
    n_pictures = 2 * (2 + 3 + 1 + 1 + 4 + 2 * 4 + 2 * (2 + 2)) + 3 + 4
    # Phase 8: two kinds of figures, neighbours, maps; phase 9: types, and four more.
    n_pictures += 2 + 1 + 2 + 2 + 4
    n_pictures += 1 + 2 * 3 + 2  # interpretation, efficiency
    n_pictures += 7  # what the report draws itself
    pictures = sorted(outputs.rglob("*.png"))
    # Of these there are none where no image is hard or mistaken.
    varying = [p for p in pictures if p.name.endswith(("hard.png", "mistaken.png"))]
    assert len(pictures) - len(varying) == n_pictures
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 200
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    check_that_test_images_were_only_judged(tmp_path, data, seen)


def check_models_and_results(outputs):
    models = sorted(path.name for path in (outputs / "models").iterdir())
    names = ("brick", "grass")
    methods = ("padim", "patchcore")
    domains = ("clean", "shift")
    expected = [f"{m}_{n}_{d}.adlib" for m in methods for n in names for d in domains]
    assert models == sorted([*expected, *(f"{m}_global.adlib" for m in methods)])
    results = json.loads((outputs / "results/clean_results.json").read_text())
    thresholds = json.loads((outputs / "thresholds/clean_thresholds.json").read_text())
    for method, found in results["methods"].items():
        assert found["macro_average"]["image_auroc"] > 0.7
        for name, one in found["classes"].items():
            assert one["threshold"] == thresholds[method][name]
            assert one["pixel"]["aupro"] > 0.5
    assert len(results["comparison"]["classes"]) == 2


def check_the_report(outputs):
    """Every number of the report stands in a results file, at the place it names."""
    folder = outputs / "report"
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text()
    contents, printed = {}, set()
    with (folder / "numbers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = outputs / row["file"]
        found = contents.setdefault(path, json.loads(path.read_text()))
        *inner, last = row["place"].split("/")
        for key in inner:
            found = found[int(key)] if isinstance(found, list) else found[key]
        if isinstance(found, list):
            value = found[int(last)]
        elif last in found:
            value = found[last]
        else:  # a sum of entries
            value = sum(found.get(key, 0) for key in last.split("+"))
        assert repr(value) == row["value"]
        assert row["printed"].replace("<", "&lt;") in page
        printed.add(row["printed"])
    for table in (folder / "tables").glob("*.csv"):
        if table.stem == "settings":  # says the configuration
            continue
        with table.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in list(csv.reader(file))[1:] for cell in row]
        numbers = {
            n for cell in cells for n in re.findall(r"[+\u2212]?\d\.\d{3}", cell)
        }
        assert numbers <= {p.removeprefix("< ") for p in printed}, table.stem


def check_that_test_images_were_only_judged(folder, data, seen):
    fitted, scored, calibrated = seen
    splits = load_clean_splits(folder / "data/processed/clean_splits.json", data)
    twins = load_shifted_splits(
        folder / "data/processed/shifted_splits.json", folder / "data/shifted"
    )
    parts = {"train": set(), "val": set(), "test": set()}
    for split in [*splits.values(), *twins.values()]:
        for part, samples in split.parts().items():
            parts[part] |= {sample.image_path.resolve() for sample in samples}
    assert {path.resolve() for path in fitted} == parts["train"]
    whose = {value: {p.resolve() for p in paths} for value, paths in scored.items()}
    assert calibrated <= whose.keys()
    for value in calibrated:
        assert whose[value] <= parts["val"] | parts["train"], value
    # The spies saw test images being judged, too.
    judged = set().union(*whose.values())
    assert parts["test"] <= judged


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
