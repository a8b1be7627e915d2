"""Every example runs; the phases on two small classes, with few images and patches."""

from __future__ import annotations

import json
import re
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.manifold import TSNE

from adlib import PaDiM, PatchCore, metrics, thresholds
from adlib.datasets import demo_root, load_clean_splits, load_shifted_splits
from adlib.features import use_feature_cache
from adlib.report import _figures
from adlib.study import _evaluate, _fitting, _shifts, read_figures, read_scores
from adlib.study._names import CONDITIONS, FIGURE_KEYS, SCORE_KEYS

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"
DOCS = EXAMPLES.parent / "docs"
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
    for module in (_fitting, _evaluate, _shifts, metrics):
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
    # Pictures need only be there: few pixels, and as few steps as t-SNE takes.
    monkeypatch.setattr(_figures, "DOTS_PER_INCH", 100)
    monkeypatch.setattr("sklearn.manifold.TSNE", partial(TSNE, max_iter=250))
    for path in PHASES:
        run(path, monkeypatch, "--config", str(small))
        assert "Written to" in capsys.readouterr().out
    folders = {path.name for path in tmp_path.iterdir()}
    assert folders == {"data", "outputs", "small.yaml"}
    outputs = tmp_path / "outputs"
    check_models_and_results(outputs)
    check_the_tables(outputs)
    check_the_plan(tmp_path)
    check_the_reported_numbers(outputs)
    assert (outputs / "report/report.pdf").read_bytes().startswith(b"%PDF")
    for phase in (1, 2, 3, 5, 6, 7, 8, 9):
        pictures = sorted((outputs / f"phase{phase:02}").glob("*.png"))
        assert pictures, phase
        for picture in pictures:
            with Image.open(picture) as image:
                assert min(image.size) > 100, picture
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    check_that_test_images_were_only_judged(tmp_path, data, seen)


def check_models_and_results(outputs):
    models = {path.stem for path in (outputs / "models").glob("*.adlib")}
    methods, classes = ("padim", "patchcore"), ("brick", "grass")
    expected = {
        f"{method}_{name}_{domain}"
        for method in methods
        for name in classes
        for domain in ("clean", "shift")
    }
    assert models == expected | {f"{method}_global" for method in methods}
    assert {path.stem for path in (outputs / "models").glob("*.json")} == models
    found = read_figures(outputs)
    clean = found[found["file"] == "results/clean_results.json"]
    whole = clean[(clean["setting"] == "") & (clean["versus"] == "")]
    values = whole.pivot(index=["method", "class"], columns="metric", values="value")
    assert (values["auroc"].unstack()["mean"] > 0.7).all()
    assert (values["aupro"] > 0.5).all()
    saved = json.loads((outputs / "thresholds/clean_thresholds.json").read_text())
    assert len(saved) == 4
    for one in saved:
        assert one["value"] == values.loc[(one["method"], one["class"]), "threshold"]
    assert (clean["setting"] == "Holm").sum() == 2


def check_the_tables(outputs):
    """Everything that the plan asks for has rows, and no row stands twice."""
    figures, scores = read_figures(outputs), read_scores(outputs)
    assert set(scores["condition"]) == set(CONDITIONS)
    keys = [*FIGURE_KEYS, "file"]
    assert not figures.duplicated(keys).any()
    assert not scores.duplicated([*SCORE_KEYS, "defect_type"]).any()
    kinds = set(figures["setting"].str.partition(" ")[0])
    assert kinds >= {
        *("", "train", "defect", "size", "position", "rule", "aggregation", "zones"),
        *("reliability", "bin", "Holm", "t-test", "way", "patches"),
        *("shortcut", "both", "coreset", "selection", "stages", "embedding"),
        *("image-size", "projection", "channels", "pca", "regularization"),
        *("shift", "stage", "layer", "feature", "configured"),
    }
    crossed = figures[figures["condition"].str.startswith("trained on ")]
    assert len(crossed[crossed["versus"] == ""]) == 2 * 2 * 9
    written = {path.stem for path in (outputs / "provenance").iterdir()}
    assert {path.stem for path in PHASES[1:-1]} - written == {"phase02_domain_shift"}


def check_the_plan(folder):
    """Each line of the plan has a command, a file and a picture, which are there."""
    lines = (DOCS / "plan.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    rows = [row for row in rows if row[0] != "the plan asks for"]
    assert len(rows) > 50
    for row in rows:
        assert len(row) == 4
        assert all(row), row
        for script in re.findall(r"`((?:phase|run_)\w+\.py)`", row[1]):
            assert (EXAMPLES / script).is_file(), script
        for path in re.findall(r"`([\w/.]+\.\w+)`", row[2] + row[3]):
            for name in ("brick", "grass"):
                place = folder if path.startswith("data/") else folder / "outputs"
                if path == "study.jsonl":  # of `adlib study`, which runs the scripts
                    continue
                assert (place / path.replace("CLASS", name)).is_file(), path


def check_the_reported_numbers(outputs):
    """The table of docs/study.md is what this run gives, whatever the processor."""
    text = (DOCS / "study.md").read_text("utf-8").partition("## Numbers to compare")[2]
    (config,) = re.findall(r"# small.yaml\n(.*?)```", text, re.DOTALL)
    assert config.strip() == SMALL.strip()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "0." in line]
    rows = [row for row in rows if len(row) == 5]
    assert len(rows) == 16
    found = read_figures(outputs)
    of_classes = (found["setting"] == "") & (found["versus"] == "")
    found = found[of_classes & found["file"].str.endswith("_results.json")]
    found = found.set_index(["condition", "method", "class", "metric"])["value"]
    for *keys, auroc, aupro in rows:
        for metric, reported in {"auroc": auroc, "aupro": aupro}.items():
            value = found.loc[(*keys, metric)]
            assert abs(value - float(reported)) < 0.01, (keys, metric, value)


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
    assert drawn == {"counts.png", "grass_examples.png"}


def test_a_broken_set_stops_the_setup(tmp_path, monkeypatch, capsys):
    for place in ("train/good", "test/good", "test/hole"):
        (tmp_path / "tile" / place).mkdir(parents=True)
        (tmp_path / "tile" / place / "0.png").write_bytes(b"no image")
    path = EXAMPLES / "phase00_setup.py"
    with pytest.raises(SystemExit, match="mend what is listed above"):
        run(path, monkeypatch, "--data", str(tmp_path), "--work", str(tmp_path / "w"))
    assert "cannot be decoded" in capsys.readouterr().out
