"""TensorBoard gets what the results files hold."""

from __future__ import annotations

import sys

import pytest

from adlib.study import PhaseRun, write_json, write_tensorboard
from adlib.study._tensorboard import check_tensorboard


def results(folder, auroc):
    entry = {"image": {"auroc": {"value": auroc, "low": 0, "high": 1}}, "pixel": None}
    methods = {"PatchCore": {"classes": {"screw": entry, "nut": entry}}}
    write_json({"methods": methods}, folder / "results/clean_results.json")


def test_figures_come_back_as_they_were_saved(tmp_path):
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    results(tmp_path, 0.25)
    write_tensorboard(tmp_path, ["image_auroc"])
    results(tmp_path, 0.75)
    runs = [PhaseRun("phase00_setup", "run", 1.5, None)]
    folder = write_tensorboard(tmp_path, ["image_auroc", "pixel_auroc"], runs)
    assert {path.name for path in folder.iterdir()} == {"PatchCore_clean", "phases"}
    read = accumulators.EventAccumulator(str(folder / "PatchCore_clean")).Reload()
    assert sorted(read.Tags()["scalars"]) == ["image_auroc/nut", "image_auroc/screw"]
    (event,) = read.Scalars("image_auroc/screw")  # the first call's is gone
    assert event.value == 0.75
    read = accumulators.EventAccumulator(str(folder / "phases")).Reload()
    assert read.Scalars("seconds")[0].value == 1.5


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"adlib-vision\[tensorboard\]"):
        check_tensorboard()
