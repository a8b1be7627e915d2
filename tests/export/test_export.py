"""An exported file scores as its detector does, or is not written."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import adlib
from adlib import PaDiM, PatchCore, runtime
from adlib.cli import main
from adlib.estimators import find_regions
from adlib.export import _check, _export
from adlib.export._whole import TILE, Whole, _resizing
from adlib.images._pixels import resize
from adlib.runtime._file import METADATA_KEY, read_exported
from tests.conftest import scratched, texture

pytestmark = pytest.mark.skipif(
    torch.__version__ < _export.LOWEST_TORCH,
    reason=f"export needs torch {_export.LOWEST_TORCH}",
)
SMALL = {"image_size": (64, 96), "coreset": 0.4, "progress": False, "device": "cpu"}
QUICK = SMALL | {"backbone": "test_byobnet", "weights": None}
RUNTIMES = ("onnxruntime", "openvino")


def colour(seed, size=64):
    return np.stack([texture(seed + 100 * i, size) for i in range(3)], axis=2)


def exported(model, path, **options):
    """Export a detector; return what each runtime makes of the file."""
    model.export(path, **options)
    return {name: runtime.load(path, runtime=name) for name in RUNTIMES}


def agree(model, found, X):
    """Hold results of images against the detector's."""
    for wanted, result in zip(model.inspect(X), found.inspect(X), strict=True):
        assert result.path == wanted.path
        assert result.score == pytest.approx(wanted.score, rel=1e-5)
        assert result.verdict == wanted.verdict
        assert (result.size, result.worst_pixel) == (wanted.size, wanted.worst_pixel)
        np.testing.assert_allclose(
            result.map, wanted.map, atol=2e-5 * wanted.map.max(), rtol=0
        )


@pytest.fixture(scope="module")
def detector(good, others):
    model = PatchCore(**QUICK).fit(good)
    return model.calibrate(others, false_positive_rate=0.3, review_rate=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_vit3", "swin_tiny_patch4_window7_224"])
def test_a_transformer_scores_the_same(name, good, tmp_path):
    model = PatchCore(**QUICK | {"backbone": name}).fit(good)
    for found in exported(model, tmp_path / "part.onnx").values():
        agree(model, found, good)


@pytest.fixture(scope="module")
def files(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "part.onnx"
    return exported(detector, path), path


@pytest.fixture
def known_graph(files, monkeypatch):
    """Give exports the graph of ``detector``, whose making takes seconds."""
    graph = onnx.load(files[1])
    del graph.metadata_props[:]
    monkeypatch.setattr(_export, "_traced", lambda *_: graph)
    return graph


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize(
    "X",
    [
        np.stack([texture(i) for i in range(40, 47)]),  # seven, grey
        np.stack([scratched(i, 128) for i in range(2)]),  # larger
        colour(3, 48)[None],  # smaller, in colour
        np.concatenate([colour(3), colour(9)[..., :1]], axis=2)[None],  # RGBA
        np.concatenate([colour(5, 64)] * 3)[None],  # upright
        np.full((1, 70, 50), 255, np.uint8),
        texture(0)[None, :1, :1, None],
    ],
    ids=["grey", "larger", "colour", "alpha", "upright", "white", "one pixel"],
)
def test_every_runtime_gives_the_detectors_results(detector, files, name, X):
    agree(detector, files[0][name], X)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_batch_gives_what_its_images_give(detector, files, name):
    run = files[0][name]._run
    images = np.stack([colour(i) for i in range(7)])
    together = run(images)
    for i in range(7):
        alone = run(images[i : i + 1])
        for whole, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[i], one[0], rtol=1e-4, atol=1e-3)


def test_files_come_upright_and_in_the_order_of_their_colours(
    detector, files, tmp_path
):
    picture = Image.fromarray(colour(1)[:40])
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.save(tmp_path / "upright.png")
    agree(detector, files[0]["onnxruntime"], tmp_path)


@pytest.mark.slow
def test_files_of_a_detector_of_bgr_are_read_as_it_reads_them(tmp_path):
    bgr = PatchCore(**QUICK, color="bgr").fit(colour(0)[None])
    (found, _) = exported(bgr, tmp_path / "bgr.onnx").values()
    agree(bgr, found, colour(7)[None])
    Image.fromarray(colour(1)[:40]).save(tmp_path / "upright.png")
    agree(bgr, found, [tmp_path / "upright.png"])


def test_the_file_says_what_it_is(detector, files):
    model, header = files[0]["onnxruntime"], files[0]["onnxruntime"].header
    assert model.threshold_ == detector.threshold_
    assert model.pixel_threshold_ == detector.pixel_threshold_
    assert header["detector"] == "PatchCore"
    assert header["promise"] == detector.describe()["threshold"]
    assert header["parameters"]["coreset"] == 0.4
    assert header["versions"]["adlib"] == adlib.__version__
    assert header["check"].keys() == set(RUNTIMES)
    for check in header["check"].values():
        assert check["n_images"] == 5
        assert check["score"] < 1e-5
        assert (check["n_flipped"], check["auroc"]) == (0, None)
    model = onnx.load(files[1])
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    assert "/" not in "".join(node.doc_string for node in model.graph.node)
    assert not any(node.metadata_props for node in model.graph.node)


@pytest.mark.slow  # tests/export/test_whole.py has it without a runtime
@pytest.mark.parametrize("name", RUNTIMES)
def test_patches_of_the_bank_score_next_to_nothing(good, tmp_path, name):
    model = PatchCore(**QUICK | {"coreset": 1.0, "aggregation": "max"}).fit(good)
    found = exported(model, tmp_path / "all.onnx")[name]
    scale = model.score(np.full((1, 64, 64), 255, np.uint8))[0]
    assert found.score(good).max() < 1e-4 * scale


def test_a_threshold_that_float32_rounds_up_keeps_its_side(detector):
    score = detector.score(texture(50)[None])[0]
    above = np.nextafter(score, np.float32(np.inf))
    for threshold, verdict in ((float(score), 1), ((float(score) + above) / 2, 1)):
        detector.threshold_, before = threshold, detector.threshold_
        whole = Whole(detector, None)
        detector.threshold_ = before
        assert (1 if np.float32(score) <= whole._threshold.item() else -1) == verdict
        assert whole._threshold.item() <= threshold


SIZES = [(512, 320), (320, 320), (64, 320), (7, 5), (1, 9), (1000, 1), (333, 224)]


@pytest.mark.parametrize(("n_in", "n_out"), SIZES)
def test_the_resize_is_pillows(n_in, n_out):
    image = np.random.default_rng(0).random((n_in, 4), dtype=np.float32)
    found = _resizing(n_in, n_out).numpy() @ image
    np.testing.assert_allclose(found, resize(image, (n_out, 4)), atol=1e-6)


CASES = {
    "paper": PatchCore(**QUICK | {"embedding": "paper", "aggregation": "max"}),
    "nearest": PatchCore(**QUICK | {"embedding": "nearest", "top_ratio": 0.2}),
    "reweighted": PatchCore(**QUICK | {"aggregation": "reweighted"}),
    "reweighted, two entries": PatchCore(
        **QUICK | {"aggregation": "reweighted", "coreset": 2}
    ),
    "one entry": PatchCore(**QUICK | {"coreset": 1}),
    "two tiles, one not full": PatchCore(**SMALL | {"coreset": 0.999}),
    "three stages": PatchCore(**SMALL | {"stages": (1, 2, 3)}),
    "faiss-flat": PatchCore(**QUICK | {"search": "faiss-flat"}),
}
GAUSSIAN = {key: value for key, value in QUICK.items() if key != "coreset"}
CASES |= {
    "PaDiM of few images": PaDiM(**GAUSSIAN),
    "PaDiM, max of maps": PaDiM(**GAUSSIAN | {"aggregation": "map_max"}),
    "PaDiM, top mean": PaDiM(**GAUSSIAN | {"aggregation": "top_mean"}),
    "PaDiM of many images": PaDiM(**GAUSSIAN | {"n_channels": 6}),
    "PaDiM, components": PaDiM(**GAUSSIAN | {"channels": "pca", "n_channels": 5}),
    "PaDiM, all": PaDiM(**GAUSSIAN | {"channels": "all", "embedding": "nearest"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_form_of_a_detector_is_exported(case, tmp_path):
    good = np.stack([texture(seed) for seed in range(13)])
    model = CASES[case].fit(good)
    held_out = np.stack([texture(seed) for seed in range(20, 26)])
    model.calibrate(held_out, false_positive_rate=0.3)
    if case.startswith("two tiles"):
        assert TILE < len(model.memory_bank_) < 2 * TILE
    X = np.stack([scratched(70, 100), texture(71, 100)])
    for found in exported(model, tmp_path / "part.onnx").values():
        agree(model, found, X)
        agree(model, found, colour(72, 80)[None])


@pytest.mark.slow
def test_sizes_can_be_stated(detector, tmp_path):
    path = tmp_path / "part.onnx"
    X = np.stack([texture(1, 80)[:, :72]])
    for found in exported(detector, path, map_size="original").values():
        (one,) = found.anomaly_maps(X)
        (wanted,) = detector.anomaly_maps(X, size="original")
        np.testing.assert_allclose(one, wanted, atol=2e-5 * wanted.max(), rtol=0)
    options = {"map_size": (20, 30), "input_size": (80, 72)}
    for found in exported(detector, path, **options).values():
        wanted = detector.anomaly_maps(X, size=(20, 30))
        maps = found.anomaly_maps(X)
        np.testing.assert_allclose(maps, wanted, atol=2e-5 * wanted.max(), rtol=0)
        with pytest.raises(adlib.exceptions.ImageError, match="of 80x72 pixels"):
            found.score(np.zeros((1, 72, 80), np.uint8))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:precision='int8' changes")
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_what_fewer_bits_lose_is_measured(detector, tmp_path, mixed, precision, capsys):
    path, labels = tmp_path / "part.onnx", [0, 0, 0, 1, 1, 1]
    detector.export(path, precision=precision, images=mixed, y=labels)
    check = runtime.load(path).header["check"]["onnxruntime"]
    assert check["n_images"] == 6
    assert 1e-5 < check["score"] < (0.01 if precision == "float16" else 2)
    assert len(check["auroc"]) == 2
    found, wanted = runtime.load(path).score(mixed), detector.score(mixed)
    assert np.abs(found / wanted - 1).max() == pytest.approx(check["score"], rel=1e-3)
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert f"exported in {precision}" in shown
    assert "AUROC" in shown


def test_a_graph_that_scores_otherwise_is_not_written(detector, tmp_path, known_graph):
    path = tmp_path / "part.onnx"
    path.write_bytes(b"before")
    graph = known_graph.graph
    (node,) = (one for one in graph.node if "score" in one.output)
    node.output[list(node.output).index("score")] = "exact"
    factor = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, (), [1.001])
    graph.initializer.append(factor)
    graph.node.append(onnx.helper.make_node("Mul", ["exact", "factor"], ["score"]))
    readers = [one for one in graph.node if "score" in one.input]
    for one in readers:
        one.input[list(one.input).index("score")] = "exact"
    with pytest.raises(ValueError, match=r"differ by up to 0\.001.* Nothing was writ"):
        detector.export(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def check(**values):
    equal = {"n_images": 9, "score": 0.0, "map": 0.0, "n_flipped": 0, "n_tied": 0}
    return _check.Check(**equal | {"auroc": None} | values)


@pytest.mark.parametrize(
    "values", [{"score": 2e-4}, {"score": np.nan}, {"map": 2e-3}, {"n_flipped": 1}]
)
def test_each_difference_is_refused(values):
    _check.refuse(check(score=1e-4, map=1e-3, n_tied=2), "onnxruntime", "owner")
    with pytest.raises(ValueError, match="other verdicts of 9"):
        _check.refuse(check(**values), "onnxruntime", "owner")


def test_ties_with_the_threshold_are_counted_apart(detector, files, others):
    found = files[0]["onnxruntime"]
    threshold = detector.threshold_
    assert threshold in detector.score(others)  # as conformal thresholds are
    counted = _check.compare(detector, found, others, None)
    assert counted.n_flipped == 0
    assert counted.n_tied <= 1


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"path": "part.bin"}, ValueError, r"path .* must be a path that ends in '.on"),
        ({"precision": "float64"}, ValueError, "precision of PatchCore.export must be"),
        ({"precision": "int8"}, ValueError, "images of .* to measure what precision"),
        ({"y": [0, 1]}, ValueError, "images of .* must be the images that y labels"),
        ({"input_size": "64"}, TypeError, "input_size of PatchCore.export must be"),
        ({"map_size": (64,)}, ValueError, "map_size of PatchCore.export must be"),
        ({"images": "nowhere"}, ValueError, "nowhere"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "y": [1, 0, 1]},
            ValueError,
            "3 labels and 2 images",
        ),
        ({"path": "none/part.onnx"}, FileNotFoundError, "does not exist"),
    ],
)
def test_wrong_arguments_are_refused(detector, tmp_path, options, error, fragment):
    given = {"path": "part.onnx"} | options
    with pytest.raises(error, match=fragment):
        detector.export(tmp_path / given.pop("path"), **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("known_graph")
def test_a_detector_that_computes_otherwise_is_refused(good, tmp_path, monkeypatch):
    model = PatchCore(**QUICK | {"search": "faiss-ivf"}).fit(good)
    with pytest.raises(ValueError, match=r"search of PatchCore\.export must be"):
        model.export(tmp_path / "part.onnx")
    model = PatchCore(**QUICK).fit(good)
    monkeypatch.setattr(_export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="of less than 2 GB"):
        model.export(tmp_path / "part.onnx")
    with pytest.raises(adlib.estimators._detector.NotFittedError):
        PatchCore().export(tmp_path / "part.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "graph", ["known", pytest.param("its own", marks=pytest.mark.slow)]
)
def test_the_commands_export_show_and_score(detector, graph, tmp_path, capsys, request):
    if graph == "known":
        request.getfixturevalue("known_graph")
    model, file = tmp_path / "part.adlib", tmp_path / "part.onnx"
    detector.save(model)
    (tmp_path / "camera").mkdir()
    Image.fromarray(scratched(3)).save(tmp_path / "camera" / "0.png")
    camera = str(tmp_path / "camera")
    assert main(["export", str(model), "-o", str(file), "--images", camera]) == 0
    assert "onnxruntime: scores differ by up to" in capsys.readouterr().err
    assert main(["info", str(file)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "PatchCore, exported in float32" in shown
    assert "0 other verdicts of 1" in shown
    rows = []
    for one in (model, file):
        assert main(["score", str(one), camera]) == 0
        rows.append(capsys.readouterr().out)
    numbers = [float(re.search(r"\.png,([\d.]+),", text)[1]) for text in rows]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
    overlays = ["--overlays", str(tmp_path / "maps"), "--runtime", "openvino"]
    assert main(["score", str(file), camera, *overlays]) == 0
    assert (tmp_path / "maps" / "0.png").exists()
    capsys.readouterr()
    for option in (["--precision", "float32"], ["--regions", "r.json"]):
        assert main(["score", str(file), camera, *option]) == 1
        assert option[0] in capsys.readouterr().err


def test_decisions_and_p_values_are_the_detectors(detector, files, mixed):
    found = list(files[0]["onnxruntime"].inspect(mixed))
    for wanted, one in zip(detector.inspect(mixed), found, strict=True):
        assert (one.decision, one.p_value) == (wanted.decision, wanted.p_value)
        assert one.threshold_ratio == pytest.approx(wanted.threshold_ratio, rel=1e-5)
    assert {one.decision for one in found} == {"PASS", "REVIEW", "FAIL"}


def test_regions_of_an_exported_map_are_the_detectors(detector, files):
    X = scratched(3)[None]
    (wanted,), (result,) = detector.regions(X), files[0]["onnxruntime"].inspect(X)
    found = find_regions(result.map, detector.pixel_threshold_, size=result.size)
    assert [one.box for one in found] == [one.box for one in wanted]


def test_the_header_is_json_in_the_metadata(files):
    (entry,) = onnx.load(files[1]).metadata_props
    assert entry.key == METADATA_KEY
    header = json.loads(entry.value)
    assert len(header["sha256"]) == 64
    assert header == read_exported(files[1]).header
