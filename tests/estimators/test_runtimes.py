"""Scores of every runtime and precision agree with torch float32, as stated.

The tolerances of ``PatchCore``: for one memory bank, image scores differ by at most
1e-4 relative with OpenVINO in float32, and by 5e-2 in bfloat16.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from adlib import PatchCore, load
from adlib.estimators._model_file import read_model, write_model
from adlib.exceptions import ModelFileError
from tests.features.test_runtimes import WAYS, openvino_or_skip, runs_here

SCREW = Path(__file__).parents[2].parent / "shared/data/mvtec_ad/screw"
LARGEST = {"float32": 1e-4, "bfloat16": 5e-2}
RANKS = {"float32": 0.9999, "bfloat16": 0.99}


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("runtimes") / "model.adlib"
    fitted.save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: "-".join(way.values()))
def test_scores_agree_with_torch_float32(fitted, mixed, saved, way):
    runs_here(way)
    model = load(saved, **way)
    assert {name: model.get_params()[name] for name in way} == way
    found, expected = model.score(mixed), fitted.score(mixed)
    np.testing.assert_allclose(found, expected, rtol=LARGEST[way["precision"]])
    assert found[:3].max() < found[3:].min()
    maps = model.anomaly_maps(mixed)
    largest = 10 * LARGEST[way["precision"]] * fitted.anomaly_maps(mixed).max()
    assert np.abs(maps - fitted.anomaly_maps(mixed)).max() <= largest


@pytest.mark.slow
@pytest.mark.skipif(not SCREW.is_dir(), reason=f"the data set {SCREW} is not here")
def test_scores_of_real_images_agree_with_torch_float32(tmp_path):
    good = sorted((SCREW / "train/good").iterdir())[:20]
    others = sorted((SCREW / "test").rglob("*.png"))[::5]
    model = PatchCore(coreset=0.02, image_size=224, progress=False).fit(good)
    model.save(tmp_path / "model.adlib")
    expected = model.score(others)
    for way in WAYS[1:]:
        runs_here(way)
        found = load(tmp_path / "model.adlib", **way).score(others)
        precision = way["precision"]
        np.testing.assert_allclose(found, expected, rtol=LARGEST[precision])
        assert spearmanr(found, expected).statistic >= RANKS[precision]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: "-".join(way.values()))
def test_what_was_learned_in_a_way_is_loaded_in_it(good, mixed, tmp_path, way):
    runs_here(way)
    model = PatchCore(image_size=64, coreset=0.2, progress=False, **way).fit(good)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.score(mixed), model.score(mixed))


def test_files_of_before_are_torch_float32(fitted, mixed, saved, tmp_path):
    content = read_model(saved)
    for name in ("precision", "runtime"):
        del content.header["parameters"][name]
    write_model(tmp_path / "old.adlib", content)
    loaded = load(tmp_path / "old.adlib")
    assert (loaded.precision, loaded.runtime) == ("float32", "torch")
    np.testing.assert_array_equal(loaded.score(mixed), fitted.score(mixed))


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("precision", "float16", ValueError),
        ("precision", 16, TypeError),
        ("runtime", "onnx", ValueError),
        ("runtime", True, TypeError),
    ],
)
def test_other_ways_are_refused(good, saved, name, value, kind):
    with pytest.raises(kind, match=rf"{name} of PatchCore must be one of"):
        PatchCore(**{name: value}).fit(good)
    with pytest.raises(kind, match=rf"{name} of load must be one of"):
        load(saved, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("precision", "bfloat16"), ("runtime", "openvino")]
)
def test_a_way_cannot_change_after_fit(saved, mixed, name, value):
    model = load(saved).set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name} of PatchCore .*it was fitted"):
        model.score(mixed)


def test_openvino_takes_no_gpu(good, saved, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match='device of PatchCore must be "cpu" or "auto"'):
        PatchCore(runtime="openvino", device="cuda").fit(good)
    with pytest.raises(ValueError, match='device of load must be "cpu" or "auto"'):
        load(saved, runtime="openvino", device="cuda")


def test_openvino_on_auto_means_the_cpu(saved, monkeypatch):
    openvino_or_skip()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert load(saved, runtime="openvino").backbone_.device == "cpu"


def test_a_processor_without_bfloat16_is_no_fault_of_the_file(saved, monkeypatch):
    openvino = openvino_or_skip()
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    with pytest.raises(ValueError, match=r"^precision=.*this one has FP32") as raised:
        load(saved, runtime="openvino", precision="bfloat16")
    assert not isinstance(raised.value, ModelFileError)
