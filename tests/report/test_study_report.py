"""The report: every number from its row, and no sentence that the tables contradict."""

from __future__ import annotations

import csv
import re

import pandas as pd
import pytest

from adlib.report import write_study_report
from adlib.report._cited import Table
from adlib.study import read_figures
from tests.report.small_study import study

pytestmark = pytest.mark.slow


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
    with report.with_name("numbers.csv").open(encoding="utf-8") as file:
        used = list(csv.DictReader(file))
    assert len(used) > 100
    for one in used:
        rows = [figures.loc[one["file"], int(row)] for row in one["row"].split("+")]
        total = sum(row[one["column"]] for row in rows)
        printed = re.sub(r"p [=<]|[,%\s]", "", one["printed"]).replace(
            "\N{MINUS SIGN}", "-"
        )
        assert abs(float(printed) - total) <= 0.0005 + 1e-9, one


def test_every_number_of_a_table_is_noted(report, outputs):
    lines = report.with_name("numbers.csv").read_text("utf-8").split("\n")
    printed = {line.split(",")[0] for line in lines}
    table = pd.read_csv(outputs / "report/tables/clean.csv", dtype=str)
    for cell in table[table.columns[2:]].to_numpy().ravel():
        assert set(re.findall(r"[\d.]+", str(cell))) <= printed


def test_sentences_turn_with_the_figures(report, flipped):
    text, turned = sentences(report), sentences(flipped)
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
    again = "Against clean models on clean images, AUROC"
    assert f"{again} falls for 4 of 4 models" in text
    assert f"{again} rises for 4 of 4 models" in turned


def test_the_page_is_whole(report):
    page = report.read_text("utf-8")
    places = set(re.findall(r'id="([^"]*)"', page))
    references = set(re.findall(r'href="#([^"]*)"', page))
    assert references <= places
    assert not re.search(r'<a href="[^"]*"></a>', page)
    for source in re.findall(r'src="([^"]*)"', page):
        assert (report.parent / source).is_file()
    assert "nut &amp; #1_$" in page
    for word in ("{{", "nan", "None", "Undefined"):
        assert word not in page


def test_the_pdf_and_the_tables_are_written(report):
    assert report.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    tables = report.parent / "tables"
    names = {path.stem for path in tables.glob("*.csv")}
    assert {"data", "clean", "conditions", "changes", "rules"} <= names
    assert {path.stem for path in tables.glob("*.tex")} == names
    text = (tables / "clean.tex").read_text("utf-8")
    assert r"nut \& \#1\_\$" in text


def test_a_kind_of_image_that_a_class_lacks_is_a_dash(report):
    tables = report.parent / "tables"
    cells = pd.read_csv(tables / "data.csv", dtype=str)["test good"]
    assert cells.tolist() == ["8", "\N{EN DASH}"]


def test_what_the_model_contributes_beside_a_threshold_is_in_the_report(report):
    table = pd.read_csv(report.parent / "tables" / "changes.csv", dtype=str)
    bolt = table[(table["metric"] == "F1") & (table["class"] == "bolt")]
    assert (
        bolt["retrained less new threshold"].tolist() == ["+0.050 [+0.040, +0.060]"] * 2
    )
    said = "Against new thresholds alone, which is what the model contributes, F1 rises"
    assert said in sentences(report)


def test_the_report_does_not_claim_more_than_it_has(report):
    text = sentences(report)
    assert "has all metrics" not in text
    assert "all metrics are in results/clean_results.json" in text
    assert "test images alone, but for the t-test, which is over classes." in text


def test_latex_has_nothing_that_is_markup_by_chance(tmp_path):
    odd, escaped = "50 % & #_${}~^\\", r"50 \% \& \#\_\$\{\}"
    cells = pd.DataFrame({odd: [odd], "value": ["\N{MINUS SIGN}1"]})
    Table("odd", cells, 1, []).write(tmp_path / "odd")
    lines = (tmp_path / "odd.tex").read_text("utf-8").split("\n")
    assert sum(escaped in line for line in lines) == 2  # header and cell
    assert any(line.endswith(r" & $-$1 \\") for line in lines)


def test_a_report_written_again_has_the_same_bytes(report, outputs, tmp_path):
    write_study_report(outputs, tmp_path)
    for name in ("report.html", "report.pdf", "numbers.csv"):
        assert report.with_name(name).read_bytes() == (tmp_path / name).read_bytes()


def test_missing_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clean_results\.json.*adlib study"):
        write_study_report(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()
