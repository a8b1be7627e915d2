"""TensorBoard gets what the tables hold."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from adlib.study._run_study import summary_writer, write_tensorboard
from adlib.study._tables import figures, row, write_figures


def results(folder, auroc):
    keys = {"condition": "clean", "method": "PatchCore"}
    tables = [
        figures([row("auroc", auroc)], class_=c, **keys) for c in ("screw", "nut")
    ]
    write_figures(pd.concat(tables), folder / "results/clean_results.json")


def test_figures_come_back_as_they_were_saved(tmp_path):
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    for auroc in (0.25, 0.75):  # the second call's replace the first one's
        results(tmp_path, auroc)
        write_tensorboard(tmp_path, ["auroc", "pixel_auroc"])
    folder = tmp_path / "tensorboard"
    assert {path.name for path in folder.iterdir()} == {"PatchCore_clean"}
    read = accumulators.EventAccumulator(str(folder / "PatchCore_clean")).Reload()
    assert sorted(read.Tags()["scalars"]) == ["auroc/nut", "auroc/screw"]
    (event,) = read.Scalars("auroc/screw")
    assert event.value == 0.75


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"adlib-vision\[tensorboard\]"):
        summary_writer()
