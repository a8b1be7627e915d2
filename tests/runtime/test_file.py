"""Exported files that are damaged, hostile or another's give one clear error."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from adlib import load as load_model
from adlib import runtime
from adlib.cli import main
from adlib.exceptions import ImageError, ModelFileError, SkippedImagesWarning
from adlib.runtime._file import METADATA_KEY, checksum, read_exported
from tests.conftest import texture
from tests.models.make import EXPORTED, HERE, pictures

VERSIONS = sorted(
    path.stem.removeprefix("exported-") for path in HERE.glob("exported-*.json")
)
SIZE = 32  # of images that the file of another's takes


@pytest.fixture(scope="module")
def kept():
    """A file that this or an earlier version exported."""
    return max(HERE.glob("patchcore-*.onnx"))


def graph(outputs=("score",)):
    """A graph that takes images and gives the sum of their pixels."""
    shape = ["n", "height", "width", "channels"]
    given = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    sums = [
        helper.make_node("ReduceSum", ["float"], [name], keepdims=0) for name in outputs
    ]
    cast = helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT)
    nodes = [cast, *sums]
    found = [helper.make_tensor_value_info(n, TensorProto.FLOAT, []) for n in outputs]
    return helper.make_graph(nodes, "graph", [given], found)


def wrap(model_graph, header, **changes):
    """Return a file of adlib's form, whose checksum fits whatever it holds."""
    model = helper.make_model(model_graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    header = {**header, **changes}
    sha256 = checksum(model.graph.SerializeToString(), header)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps({**header, "sha256": sha256})
    return model


def refused(path):
    with pytest.raises(ModelFileError) as caught:
        runtime.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("detector", EXPORTED)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_an_earlier_version_scores_as_it_did(version, detector, name):
    expected = json.loads((HERE / f"exported-{version}.json").read_text())[detector]
    model = runtime.load(HERE / f"{detector}-{version}.onnx", runtime=name)
    scores = model.score(pictures(4, 2))
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    verdicts = np.where(np.array(expected) <= model.threshold_, 1, -1)
    np.testing.assert_array_equal(model.predict(pictures(4, 2)), verdicts)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 0.999999])
def test_a_file_that_was_cut_is_refused(kept, tmp_path, share):
    content = kept.read_bytes()
    path = tmp_path / "part.onnx"
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


def test_a_bit_that_flipped_is_found(kept, tmp_path):
    content = kept.read_bytes()
    path = tmp_path / "part.onnx"
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, len(content), 40), *range(60), *range(-60, 0)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            header = read_exported(path).header
        except ModelFileError:
            continue
        # What lies outside of graph and header: versions, which nothing here reads.
        assert header == read_exported(kept).header


def test_what_is_no_exported_file_is_refused(tmp_path):
    path = tmp_path / "part.onnx"
    for content in (b"", b"no model", bytes(1000), b"\xff" * 100, b"\x08\x08" * 9):
        path.write_bytes(content)
        assert "is not a model that adlib exported" in refused(path)
    onnx.save(helper.make_model(graph()), path)
    assert "is not a model that adlib exported" in refused(path)
    path.write_bytes(b"\x3a" + b"\xff" * 9 + b"\x01")  # a graph of 2**64 bytes
    assert "ends too early" in refused(path)
    path.unlink()
    path.mkdir()
    refused(path)
    with pytest.raises(FileNotFoundError, match="no exported model at"):
        runtime.load(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": True},
        {"outputs": "score"},
        {"outputs": ["score", 3]},
        {"outputs": ["score"]},
        {"threshold": "high"},
        {"threshold": True},
        {"threshold": float("nan")},
        {"pixel_threshold": float("inf")},
        {"parameters": []},
        {"grid": None},
        {"image_size": [64]},
        {"image_size": [64, "64"]},
        {"input_size": [0, 64]},
        {"map_size": "huge"},
        {"precision": 32},
        {"check": None},
        {"promise": 5},
    ],
    ids=str,
)
def test_a_header_of_another_kind_is_refused(kept, tmp_path, changes):
    header = read_exported(kept).header
    path = tmp_path / "part.onnx"
    onnx.save(wrap(onnx.load(kept).graph, header, **changes), path)
    text = refused(path)
    assert next(iter(changes)) in text


def test_a_header_that_nests_too_deep_is_refused(kept, tmp_path):
    model = onnx.load(kept)
    model.metadata_props[0].value = "[" * 100_000
    onnx.save(model, tmp_path / "part.onnx")
    refused(tmp_path / "part.onnx")


def test_graphs_that_do_not_fit_are_refused(kept, tmp_path):
    header, path = read_exported(kept).header, tmp_path / "part.onnx"
    onnx.save(wrap(graph(), header), path)
    assert "outputs" in refused(path)
    broken = graph(header["outputs"])
    broken.node[0].op_type = "NoSuchOperator"
    onnx.save(wrap(broken, header), path)
    assert "ONNX Runtime cannot run" in refused(path)
    outside = graph(header["outputs"])
    outside.initializer.append(
        TensorProto(
            name="weights",
            data_type=TensorProto.FLOAT,
            dims=[4],
            data_location=TensorProto.EXTERNAL,
            external_data=[{"key": "location", "value": "/etc/passwd"}],
        )
    )
    outside.node.append(helper.make_node("Add", ["float", "weights"], ["sum"]))
    onnx.save(wrap(outside, header), path)
    refused(path)
    model = wrap(graph(header["outputs"]), header)
    model.functions.add().name = "hidden"
    onnx.save(model, path)
    assert "field 25" in refused(path)


def test_a_graph_that_fails_on_an_image_says_so(kept, tmp_path):
    header, path = read_exported(kept).header, tmp_path / "part.onnx"
    failing = graph(header["outputs"])
    node = helper.make_node("Reshape", ["float", "shape"], ["other"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [7])
    failing.node.insert(1, node)
    failing.initializer.append(shape)
    failing.node[2].input[0] = "other"
    onnx.save(wrap(failing, header), path)
    with pytest.raises(ModelFileError, match="cannot run"):
        runtime.load(path).score(np.zeros((1, SIZE, SIZE), np.uint8))


def test_arguments_of_load_are_checked(kept):
    with pytest.raises(ValueError, match="runtime of load must be"):
        runtime.load(kept, runtime="torch")
    with pytest.raises(ValueError, match="device of load must be"):
        runtime.load(kept, device="gpu")
    with pytest.raises(ValueError, match=r"device of load must be .*openvino"):
        runtime.load(kept, runtime="openvino", device="cuda")
    with pytest.raises(ValueError, match="needs CUDAExecutionProvider"):
        runtime.load(kept, device="cuda")


def test_files_of_the_two_kinds_are_told_apart(kept, tmp_path, fitted, capsys):
    with pytest.raises(ModelFileError, match=r"adlib\.runtime\.load"):
        load_model(kept)
    fitted.save(tmp_path / "part.adlib")
    with pytest.raises(ModelFileError, match=r"adlib\.load"):
        runtime.load(tmp_path / "part.adlib")
    assert main(["export", str(kept), "-o", str(tmp_path / "again.onnx")]) == 1
    assert "adlib.runtime.load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("X", "error", "fragment"),
    [
        (
            np.zeros((1, 8, 8), np.uint16),
            ImageError,
            "must have 8 bits for an exported",
        ),
        (np.zeros((1, 8, 8)), ImageError, "must have 8 bits for an exported model"),
        (np.full((1, 8, 8), 2.0), ImageError, "must be finite and in"),
        (np.zeros((1, 8, 8, 5), np.uint8), ValueError, "must be an array"),
        (np.zeros((0, 8, 8), np.uint8), ValueError, "X of ExportedModel.score must"),
        ([], ValueError, "at least one image"),
        (iter([]), ValueError, "an empty stream"),
    ],
)
@pytest.mark.filterwarnings("ignore::adlib.exceptions.InputWarning")
def test_wrong_images_are_refused(kept, X, error, fragment):
    with pytest.raises(error, match=fragment):
        runtime.load(kept).score(X)


def test_unusable_images_can_be_skipped(kept):
    model = runtime.load(kept)
    X = [texture(0), np.zeros((3, 3), np.int64), texture(1)]
    with pytest.raises(ImageError, match="image 1"):
        model.score(X)
    model.on_error = "skip"
    with pytest.warns(SkippedImagesWarning, match="1 images were skipped: image 1"):
        scores = model.score(X)
    assert np.isnan(scores).tolist() == [False, True, False]
    with pytest.warns(SkippedImagesWarning):
        assert model.predict(X)[1] == -1
    with pytest.warns(SkippedImagesWarning):
        maps = model.anomaly_maps(X)
    assert np.isnan(maps[1]).all()


def test_a_stream_is_read_no_further_than_its_results(kept):
    read = []

    def camera():
        for number in range(5):
            read.append(number)
            yield texture(number)

    results = runtime.load(kept).inspect(camera())
    next(results)
    assert read == [0]
    next(results)
    assert read == [0, 1]


def test_the_runtime_needs_neither_torch_nor_scipy(kept):
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'joblib', 'numba', 'rich', 'timm',\n"
        "             'imagecodecs', 'tifffile', 'onnx', 'safetensors', 'typer'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from adlib import runtime\n"
        f"model = runtime.load({str(kept)!r})\n"
        "print(model.score(np.zeros((1, 32, 32), np.uint8))[0])\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    wanted = runtime.load(kept).score(np.zeros((1, 32, 32), np.uint8))
    assert float(found.stdout) == pytest.approx(float(wanted[0]), rel=1e-6)
