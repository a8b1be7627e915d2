"""Tables come back from their files bit for bit, and differences are told."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from adlib.study import _names as names
from adlib.study import read_figures, read_scores
from adlib.study._tables import (
    as_text,
    figures,
    row,
    with_means,
    write_figures,
    write_table,
)
from tests.study.conftest import scored, value

ODD = [0.1 + 0.2, 1 / 3, 5e-324, -0.0, 1.7976931348623157e308, np.pi * 1e-9]


def test_figures_come_back_bit_for_bit_with_where_they_stand(tmp_path):
    rows = [row("f1", x, x, n=i, p=x, setting=f"s {i}") for i, x in enumerate(ODD)]
    rows.append(row("precision", float("nan"), None, float("inf")))
    written = figures(rows, phase="phase05", condition="clean", class_="nut, large")
    write_figures(written, tmp_path / "results/clean_results.json")
    found = read_figures(tmp_path)
    assert tuple(found) == (*names.FIGURE_COLUMNS, "file", "row")
    assert found["value"].tolist()[:-1] == ODD
    assert found["low"].tolist()[:-1] == ODD
    assert np.isnan(found["high"].iloc[-1])
    assert found["row"].tolist() == list(range(1, 8))
    assert set(found["file"]) == {"results/clean_results.json"}
    assert set(found["class"]) == {"nut, large"}
    assert found["n"].isna().tolist() == [False] * 6 + [True]


def test_scores_come_back_bit_for_bit(tmp_path):
    written = scored([*ODD, np.nan], 0.2, [0, 1, 1, 1, 0, 0, 1])
    written["defect_type"] = "NA"  # a name, no missing value
    write_table(written.assign(phase="p"), tmp_path / "results/clean_scores.csv")
    found = read_scores(tmp_path)
    assert found["score"].tolist()[:-1] == ODD
    assert found["verdict"].tolist()[:-1] == written["verdict"].tolist()[:-1]
    assert found["verdict"].isna().tolist() == [False] * 6 + [True]
    assert set(found["defect_type"]) == {"NA"}


def test_other_files_and_missing_ones_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There are no results"):
        read_figures(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a_scores.csv").write_text("a,b\n1,2\n")
    (tmp_path / "results/a.json").write_text('{"methods": {}}')
    for read in (read_figures, read_scores):
        with pytest.raises(ValueError, match="must hold rows of the study's tables"):
            read(tmp_path)


def test_a_mean_is_of_all_classes_or_there_is_none():
    def one(name, metric, number):
        return figures([row(metric, number)], method="A", class_=name)

    table = pd.concat(
        [one("nut", "auroc", 0.5), one("pill", "auroc", 1.0), one("nut", "aupro", 0.5),
         one("nut", "precision", 0.5), one("pill", "precision", np.nan),
         one("nut", "n_normal", 3), one("pill", "n_normal", 5)]
    )  # fmt: skip
    found = with_means(table)
    means = found[found["class"] == names.MEAN]
    assert means["metric"].tolist() == ["auroc", "precision"]
    assert value(means, "auroc") == 0.75
    assert np.isnan(value(means, "precision"))  # not the mean of others
    assert set(means["n"]) == {2}


def test_text_has_a_column_a_metric_or_a_line_a_difference():
    table = figures([row("auroc", 0.75), row("f1", 0.5)], method="A", class_="nut")
    assert as_text(table, ["f1", "auroc"]).split() == [
        *("method", "class", "f1", "auroc", "A", "nut", "0.5", "0.75"),
    ]
    change = figures([row("f1", -0.5, -0.75, 0.0, versus="clean")], method="A")
    assert "-0.75" in as_text(change)


def test_a_record_is_a_line_of_json(tmp_path):
    write_figures(figures([row("f1", 0.5)]), tmp_path / "a.json")
    _, line, _ = (tmp_path / "a.json").read_text().splitlines()
    assert json.loads(line) == {
        **dict.fromkeys(names.FIGURE_KEYS, ""),
        "metric": "f1",
        "value": 0.5,
        **dict.fromkeys(("low", "high", "n", "p")),
    }


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    for name in [one for one in sys.modules if one.startswith("adlib.study")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    said = r"adlib.study needs the package 'pydantic'.*adlib-vision\[study\]"
    with pytest.raises(ImportError, match=said):
        import_module("adlib.study")
