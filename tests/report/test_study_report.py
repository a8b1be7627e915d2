"""The report: every number from its row, and no sentence that the tables contradict."""

from __future__ import annotations

import csv
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from adlib.report import write_study_report
from adlib.study import read_figures

CLASSES, METHODS = ("bolt", "nut & #1_$"), ("PatchCore", "PaDiM")
STEMS = {
    "clean": "clean",
    "shifted": "shifted_no_adaptation",
    "shifted, new threshold": "shift_threshold_only",
    "shifted, retrained": "shift_with_adaptation",
}
COLUMNS = (
    *("phase", "condition", "method", "class", "setting", "versus", "metric"),
    *("value", "low", "high", "n", "p"),
)


def figure(condition, method, name, metric, value=0.0, **more):
    row = dict.fromkeys(COLUMNS) | {"phase": "phase05", "setting": "", "versus": ""}
    row |= {"condition": condition, "method": method, "class": name, "metric": metric}
    return row | {"n": 30, "value": value} | more


def interval(value):
    """Return a difference that is shown, of the sign of the value."""
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "p": 0.001}


def results(sign):
    """Return the rows of each condition; differences between them have this sign."""
    rng, found = np.random.default_rng(0), {}
    changes = {
        "shifted": [("clean", -0.2)],
        "shifted, new threshold": [("shifted", 0.1)],
        "shifted, retrained": [("shifted", 0.15), ("clean", -0.05)],
    }
    for condition, stem in STEMS.items():
        rows = []
        for method, name in itertools.product(METHODS, (*CLASSES, "mean")):
            key = condition, method, name
            for metric in ("auroc", "average_precision", "f1", "specificity", "recall"):
                value = float(rng.uniform(0.5, 1))
                ends = {} if name == "mean" else {"low": value - 0.1, "high": 1.0}
                rows.append(figure(*key, metric, value, **ends))
            for versus, value in changes.get(condition, ()):
                more = {"versus": versus, **interval(sign * value)}
                of = ("auroc", "f1", "specificity")
                rows += [figure(*key, metric, **more) for metric in of]
            if condition == "clean" and name != "mean":
                for setting in ("rule max", "rule best_f1", "aggregation max"):
                    of = ("f1", "false_positive_rate", "auroc")
                    rows += [figure(*key, one, 0.5, setting=setting) for one in of]
                rows.append(figure(*key, "expected_calibration_error", 0.1))
                bins = itertools.product((1, 2), ("predicted", "observed"))
                rows += [figure(*key, of, n / 3, setting=f"bin {n}") for n, of in bins]
        for name in CLASSES:
            for setting in ("", "Holm"):
                of = {"setting": setting, "versus": "PaDiM", **interval(sign * 0.1)}
                rows.append(figure(condition, "PatchCore", name, "auroc", **of))
        found[f"{stem}_results"] = rows
    counts = itertools.product(CLASSES, ("train good", "val good", "val a", "val b"))
    found["dataset"] = [
        figure("clean", "", name, "n_images", number, setting=setting, phase="phase01")
        for number, (name, setting) in enumerate(counts)
    ]
    return found


def study(folder, sign):
    """Write what phases 0, 1, 5, 6 and 7 of a small study write."""
    results_folder = folder / "results"
    results_folder.mkdir(parents=True)
    for stem, rows in results(sign).items():
        (results_folder / f"{stem}.json").write_text(json.dumps(rows))
    rng = np.random.default_rng(0)
    for condition, stem in STEMS.items():
        keys = itertools.product(METHODS, CLASSES, range(12))
        scores = [
            ("phase05", condition, method, name, "test", f"{n}.png", n % 2, "a", *score)
            for method, name, n in keys
            for score in [(rng.normal() + n % 2, 0.5, 1)]
        ]
        columns = "phase condition method class split image label defect_type score"
        table = pd.DataFrame(scores, columns=[*columns.split(), "threshold", "verdict"])
        table.to_csv(results_folder / f"{stem}_scores.csv", index=False)
    shift = dict.fromkeys(("crop", "translation", "colour", "illumination", "blur"))
    config = {
        "seed": 42,
        "data": {"root": "/data", "classes": None},
        "split": {"train_ratio": 0.8, "val_anomaly_ratio": 0.3},
        "shift": shift | {"rotation": [-10.0, 10.0], "noise": None},
        "ablation": {"n_training": 10, "n_judged": 10},
    }
    machine = ("python", "adlib-vision", "torch", "timm", "processor", "GPU")
    facts = {
        "phase00/config.json": config,
        "phase00/environment.json": dict.fromkeys((*machine, "threads used"), "1"),
        "phase00/data_check.json": {"n_equal_images": 0},
        "provenance/phase05_evaluate_clean.json": {
            "intervals": {"all": "the bootstrap"},
            "aupro_fpr_limit": 0.3,
        },
    }
    for name, content in facts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def sentences(page):
    text = re.sub(r"<[^>]*>", "", page.read_text("utf-8").split("</style>")[1])
    return " ".join(text.split())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study"), 1)


@pytest.fixture(scope="module")
def report(outputs):
    return write_study_report(outputs, outputs / "report")


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    outputs = study(tmp_path_factory.mktemp("flipped"), -1)
    return write_study_report(outputs, outputs / "report")


def test_every_printed_number_is_that_of_its_row(report, outputs):
    figures = read_figures(outputs).set_index(["file", "row"])
    with report.numbers.open(encoding="utf-8") as file:
        used = list(csv.DictReader(file))
    assert len(used) == report.n_numbers > 100
    for one in used:
        rows = [figures.loc[one["file"], int(row)] for row in one["row"].split("+")]
        total = sum(row[one["column"]] for row in rows)
        printed = re.sub(r"p [=<]|[,%\s]", "", one["printed"]).replace(
            "\N{MINUS SIGN}", "-"
        )
        assert abs(float(printed) - total) <= 0.0005 + 1e-9, one


def test_every_number_of_a_table_is_noted(report, outputs):
    lines = report.numbers.read_text("utf-8").split("\n")
    printed = {line.split(",")[0] for line in lines}
    table = pd.read_csv(outputs / "report/tables/clean.csv", dtype=str)
    for cell in table[table.columns[2:]].to_numpy().ravel():
        assert set(re.findall(r"[\d.]+", str(cell))) <= printed


def test_sentences_turn_with_the_figures(report, flipped):
    text, turned = sentences(report.page), sentences(flipped.page)
    for here, there, first, second in (
        (text, turned, "PatchCore", "PaDiM"),
        (turned, text, "PaDiM", "PatchCore"),
    ):
        better = "ranks images better on bolt and nut"
        assert f"{first} {better}" in here
        assert f"{second} {better}" not in here
        assert f"{first} {better}" not in there
    assert "From clean to shifted images, AUROC falls for 4 of 4 models" in text
    assert "AUROC rises" not in text.split("Retrained.")[0]
    assert "From clean to shifted images, AUROC rises for 4 of 4 models" in turned
    assert "F1 rises for 4 of 4 models" in text
    assert "F1 falls for 4 of 4 models" in turned
    loss = "a loss of AUROC against clean images is shown for"
    assert f"{loss} PatchCore on bolt" in text
    assert f"{loss} none." in turned


def test_the_page_is_whole(report):
    page = report.page.read_text("utf-8")
    places = set(re.findall(r'id="([^"]*)"', page))
    references = set(re.findall(r'href="#([^"]*)"', page))
    assert references <= places
    assert not re.search(r'<a href="[^"]*"></a>', page)
    for source in re.findall(r'src="([^"]*)"', page):
        assert (report.page.parent / source).is_file()
    assert "nut &amp; #1_$" in page
    for word in ("{{", "nan", "None", "Undefined"):
        assert word not in page


def test_the_pdf_and_the_tables_are_written(report):
    assert report.pdf.read_bytes().startswith(b"%PDF")
    tables = report.page.parent / "tables"
    names = {path.stem for path in tables.glob("*.csv")}
    assert {"data", "clean", "conditions", "changes", "rules"} <= names
    assert {path.stem for path in tables.glob("*.tex")} == names
    text = (tables / "clean.tex").read_text("utf-8")
    assert r"nut \& \#1\_\$" in text
    assert r"\caption{Clean test images" in text


def test_a_report_written_again_has_the_same_bytes(report, outputs, tmp_path):
    again = write_study_report(outputs, tmp_path)
    for path in (report.page, report.pdf, report.numbers):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert again.n_numbers == report.n_numbers


def test_missing_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clean_results\.json.*adlib study"):
        write_study_report(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()
