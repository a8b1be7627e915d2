"""What export writes scores as the detector does, or is not written."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore, load, runtime
from adlib.exceptions import ImageError
from adlib.export import _export
from adlib.export._whole import Whole
from tests.export.test_whole import GOOD, NETWORK, OTHERS, between, fitted, near

ENGINES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def detector():
    model = PatchCore(**NETWORK, coreset=0.3, aggregation="reweighted").fit(GOOD)
    model.threshold_ = between(model.score(OTHERS))
    return model


@pytest.fixture(scope="module")
def path(detector, tmp_path_factory):
    """The exported file; one, since the exporter takes seconds."""
    target = tmp_path_factory.mktemp("export") / "part.onnx"
    detector.export(target)
    return target


def same(exported, detector, images):
    for found, wanted in zip(
        exported.inspect(images), detector.inspect(images), strict=True
    ):
        near(found.score, wanted.score)
        near(found.map, wanted.map, 1e-4)
        assert found.verdict == wanted.verdict
        assert (found.size, found.path) == (wanted.size, wanted.path)
        assert found.worst_pixel == wanted.worst_pixel


@pytest.mark.parametrize("engine", ENGINES)
def test_images_of_every_size_and_kind_score_the_same(detector, path, engine):
    pytest.importorskip(engine)
    exported = runtime.load(path, runtime=engine)
    same(exported, detector, [*OTHERS, *GOOD])
    assert exported.threshold_ == detector.threshold_
    assert (exported.predict(OTHERS) == detector.predict(OTHERS)).all()
    near(exported.score(GOOD), detector.score(GOOD))
    near(exported.anomaly_maps(OTHERS), detector.anomaly_maps(OTHERS), 1e-4)


def test_files_turned_by_exif_score_the_same(detector, path, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "turned.png"
    Image.fromarray(OTHERS[1]).save(file, exif=exif)
    exported = runtime.load(path)
    same(exported, detector, [str(file)])
    assert next(exported.inspect([file])).size == (31, 90)


def test_images_of_16_bits_are_refused(path):
    wide = np.zeros((1, 40, 48), np.uint16)
    with pytest.raises(ImageError, match="must have 8 bits for an exported model"):
        runtime.load(path).score(wide)


def test_a_skipped_image_has_no_score(path):
    exported = runtime.load(path)
    exported.on_error = "skip"
    with pytest.warns(UserWarning, match="1 images were skipped"):
        scores = exported.score([GOOD[0], np.zeros((40, 48), np.uint16)])
    assert np.isnan(scores).tolist() == [False, True]


def test_the_file_says_what_it_is(path, detector):
    header = runtime.load(path).header
    assert header["threshold"] == detector.threshold_
    assert header["image_size"] == [32, 48]
    assert header["check"]["onnxruntime"]["n_flipped"] == 0
    assert header["check"]["onnxruntime"]["score"] < 1e-4
    assert str(path.parent).encode() not in path.read_bytes()


def test_a_graph_that_differs_is_not_written(detector, path, monkeypatch, tmp_path):
    class Wrong(Whole):
        def forward(self, images):
            score, *rest = super().forward(images)
            return (score * 1.001, *rest)

    monkeypatch.setattr(_export, "Whole", Wrong)
    old = tmp_path / "part.onnx"
    old.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"scores as it does.*Nothing was written"):
        detector.export(old)
    assert [file.name for file in tmp_path.iterdir()] == ["part.onnx"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"path": "part.adlib"}, r"path of PatchCore.export must be .*'\.onnx'"),
        ({"precision": "int4"}, "precision of PatchCore.export must be"),
        ({"precision": "float16"}, "images of PatchCore.export must be images, to mea"),
        ({"precision": "int8"}, "images of PatchCore.export must be images, to mea"),
        ({"y": [1, 1]}, "images of PatchCore.export must be the images that y labels"),
        ({"images": GOOD, "y": [1, -1]}, "PatchCore.export"),
        ({"input_size": (0, 4)}, "input_size of PatchCore.export must be"),
        ({"input_size": "original"}, "input_size of PatchCore.export must be"),
        ({"map_size": "whole"}, "map_size of PatchCore.export must be"),
        ({"images": []}, "X of PatchCore.export must"),
    ],
)
def test_wrong_arguments_are_named(detector, tmp_path, changed, match):
    arguments = {"path": "part.onnx", **changed}
    name = arguments.pop("path")
    with pytest.raises((ValueError, TypeError), match=match):
        detector.export(tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(detector, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"not fitted|Call fit"):
        PatchCore().export(tmp_path / "p.onnx")
    detector.save(tmp_path / "p.adlib")
    half = load(tmp_path / "p.adlib", precision="bfloat16")
    with pytest.raises(ValueError, match=r"precision of .*must be 'float32'"):
        half.export(tmp_path / "p.onnx")
    near_by = PatchCore(**NETWORK, coreset=20, search="faiss-hnsw")
    with pytest.raises(ValueError, match=r"search of .*must be 'exact'"):
        near_by.fit(GOOD).export(tmp_path / "p.onnx")
    assert not (tmp_path / "p.onnx").exists()


@pytest.mark.slow
def test_a_file_above_the_limit_is_not_written(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="less than 2 GB"):
        detector.export(tmp_path / "p.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(detector, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{missing}.*adlib-vision\[export\]"):
        detector.export(tmp_path / "p.onnx")
    assert not list(tmp_path.iterdir())


def test_an_older_torch_is_named(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "LOWEST_TORCH", "99.1")
    with pytest.raises(ImportError, match=r"needs torch 99\.1 or later; this is"):
        detector.export(tmp_path / "p.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole-bank", "paper-max", "padim-all-map_max"])
@pytest.mark.parametrize("size", [None, "original", (20, 70)])
def test_other_detectors_and_map_sizes(name, size, tmp_path):
    detector = fitted(name)
    detector.export(tmp_path / "p.onnx", map_size=size)
    for engine in ENGINES:
        exported = runtime.load(tmp_path / "p.onnx", runtime=engine)
        near(exported.score(OTHERS), detector.score(OTHERS))
        found, wanted = (
            exported.anomaly_maps(OTHERS),
            detector.anomaly_maps(OTHERS, size=size),
        )
        for one, other in zip(found, wanted, strict=True):
            near(one, other, 1e-4)
        with pytest.raises(ValueError, match="has no threshold"):
            exported.predict(OTHERS)


@pytest.mark.slow
def test_a_fixed_input_size_takes_no_other(detector, tmp_path):
    detector.export(tmp_path / "p.onnx", input_size=(40, 48))
    for engine in ENGINES:
        exported = runtime.load(tmp_path / "p.onnx", runtime=engine)
        same(exported, detector, GOOD)
        with pytest.raises(ImageError, match="must be of 40x48 pixels"):
            exported.score(OTHERS[1:2])


@pytest.mark.slow
def test_bgr_arrays_score_as_rgb_ones(tmp_path):
    detector = PatchCore(**NETWORK, coreset=0.3, color="bgr").fit(GOOD)
    detector.export(tmp_path / "p.onnx")
    exported = runtime.load(tmp_path / "p.onnx")
    assert exported.color == "bgr"
    same(exported, detector, GOOD)
    swapped = next(exported.inspect(GOOD[:1, ..., ::-1])).score
    assert swapped != next(exported.inspect(GOOD[:1])).score
