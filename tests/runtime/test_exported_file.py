"""The exported file: damage and other people's files give one clear error, quickly."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from adlib import load, runtime
from adlib.exceptions import ModelFileError
from adlib.runtime._file import _fields, _parts, checksum, read_exported

KEPT = Path(__file__).parents[1] / "models" / "padim-0.1.0.onnx"
CONTENT = KEPT.read_bytes()
HEADER = read_exported(KEPT).header
MODEL = bytes(_parts(CONTENT)[0])
DEEP = "[" * 100_000


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def field(number, value):
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def with_header(text, model=MODEL, key=b"adlib"):
    return model + field(14, field(1, key) + field(2, text.encode()))


def sealed(model=MODEL, **changed):
    """A file whose header was changed and whose checksum is right."""
    header = {**HEADER, **changed}
    header = {name: value for name, value in header.items() if value is not ...}
    header["sha256"] = checksum(model, header)
    return with_header(json.dumps(header), model)


def refused(tmp_path, content, match="m.onnx"):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(ModelFileError, match=match) as caught:
        runtime.load(path)
    assert time.process_time() - began < 10  # it took seconds, not minutes
    assert "m.onnx" in str(caught.value)


def test_a_file_put_together_again_is_the_same_and_loads(tmp_path):
    assert sealed() == CONTENT
    (tmp_path / "m.onnx").write_bytes(sealed(promise="other"))
    assert runtime.load(tmp_path / "m.onnx").header["promise"] == "other"


def test_a_file_cut_anywhere_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    edges = [end for _, _, end in _fields(memoryview(CONTENT))][:-1]
    for length in {0, 1, 2, *edges, *rng.integers(0, len(CONTENT), 60).tolist()}:
        refused(tmp_path, CONTENT[:length])


def test_any_flipped_bit_is_refused(tmp_path):
    rng = np.random.default_rng(1)
    heads = range(60)  # versions and names, which no graph holds
    places = [*heads, *range(len(MODEL) - 20, len(MODEL) + 20)]
    for place in [*places, *rng.integers(0, len(CONTENT), 100).tolist()]:
        changed = bytearray(CONTENT)
        changed[place] ^= 1 << int(rng.integers(8))
        refused(tmp_path, bytes(changed))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "0 graphs"),
        (b"no model at all", "not a model that adlib exported"),
        (np.random.default_rng(2).bytes(5000), "not a model that adlib exported"),
        (b"\xff" * 5000, "ends too early"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "0 graphs"),
        (field(1, 8) * 2_000_000, "too many fields"),
        (MODEL, "no metadata of adlib's"),
        (with_header("{}", key=b"other"), "not adlib's"),
        (MODEL + field(14, b""), "not adlib's"),
        (field(14, field(1, b"adlib") + field(2, b"{}")), "0 graphs"),
        (with_header("{}", MODEL + field(7, b"")), "2 graphs"),
        (with_header("{}", MODEL + field(25, b"")), "field 25 is not one"),
        (with_header("{}", MODEL + field(20, b"")), "field 20 is not one"),
        (CONTENT + field(1, 9), "goes on after the header"),
        (CONTENT + field(8, b""), "goes on after the header"),
        (CONTENT + CONTENT, "goes on after the header"),
        (with_header(DEEP), "damaged"),
        (with_header("[" * 5000 + "]" * 5000), "damaged"),
        (with_header('{"format": 1, "a": ' + "[" * 900 + "]" * 900 + "}"), "damaged"),
        (with_header("no JSON"), "damaged"),
        (with_header("[]"), "no 'format'"),
        (with_header("null"), "no 'format'"),
        (with_header('{"format": 1}'), "checksum"),
        (with_header('{"format": %s}' % ("9" * 5000)), "damaged"),
        (MODEL + field(14, field(1, b"adlib") + field(2, b"\xff\xfe")), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused(tmp_path, content, match):
    refused(tmp_path, content, match)


NUMBERS = [True, float("nan"), float("inf"), 10**400, "1", [1]]
SIZES = [None, [], [32], [32, 32, 32], [32, True], [0, 32], [-1, 32], [32.0, 32], "x"]
CHECK = HEADER["check"]["onnxruntime"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, ...) for name in HEADER if name not in ("sha256", "inputs")
          and name != "learned_sha256"],
        *[("format", value) for value in (True, 1.0, "1", None)],
        *[("threshold", value) for value in [*NUMBERS, None]],
        *[("pixel_threshold", value) for value in NUMBERS],
        *[("review_threshold", value) for value in NUMBERS],
        *[("calibration_scores", value) for value in (None, "12", [2, 1], [True])],
        *[("image_size", value) for value in SIZES],
        *[("grid", value) for value in SIZES],
        *[("input_size", value) for value in SIZES[1:]],
        *[("map_size", value) for value in SIZES],
        *[("outputs", value) for value in ([], [[]], ["score"], "score", {})],
        *[("outputs", [*HEADER["outputs"], name]) for name in ("verdict", "a")],
        *[("n_training_images", value) for value in (True, -1, 1.5, "1")],
        *[("precision", value) for value in ("int4", [], {}, None)],
        *[("versions", value) for value in ([], None)],
        *[("detector", value) for value in (1, None)],
        *[("check", value) for value in ([], {"onnxruntime": {}}, {"a": 1})],
        *[("check", {"onnxruntime": {**CHECK, name: "1"}}) for name in CHECK],
        ("check", {"onnxruntime": {**CHECK, "auroc": [0.5]}}),
        *[("parameters", value) for value in ([], {}, {"backbone": 1})],
        ("parameters", {**HEADER["parameters"], "color": "grb"}),
        ("parameters", {**HEADER["parameters"], "max_value": "much"}),
    ],
)  # fmt: skip
def test_a_header_of_wrong_kinds_is_refused_with_a_right_checksum(
    tmp_path, name, value
):
    match = (
        "no 'format'" if name == "format" else f"damaged header: '({name}|threshold)"
    )
    refused(tmp_path, sealed(**{name: value}), match)


@pytest.mark.parametrize("version", [0, 2, 10**30])
def test_another_format_says_which_adlib_reads_it(tmp_path, version):
    refused(tmp_path, sealed(format=version), f"has format {version}; .*format 1")


def test_a_header_whose_outputs_do_not_fit_the_graph_is_refused(tmp_path):
    changed = {"outputs": HEADER["outputs"][:3], "threshold": None}
    refused(tmp_path, sealed(**changed), "other outputs than its graph")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("graph", [b"", b"\x0a\x02\xff\xff", b"\xff" * 50])
def test_a_graph_that_the_runtime_refuses_is_a_model_file_error(
    tmp_path, graph, engine
):
    pytest.importorskip(engine)
    model = field(1, 8) + field(7, graph) + field(8, field(2, 18))
    (tmp_path / "m.onnx").write_bytes(sealed(model))
    with pytest.raises(ModelFileError, match=r"cannot run|other outputs"):
        runtime.load(tmp_path / "m.onnx", runtime=engine)


@pytest.mark.parametrize(
    ("name", "value"),
    [("grid", [3, 5]), ("map_size", [9, 9]), ("map_size", "original")],
)
def test_a_graph_that_gives_other_shapes_is_refused_at_the_first_image(
    tmp_path, name, value
):
    (tmp_path / "m.onnx").write_bytes(sealed(**{name: value}))
    model = runtime.load(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="is damaged"):
        model.score(np.zeros((1, 20, 30, 3), np.uint8))


def test_weights_in_another_file_are_not_followed(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(MODEL)
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    (tmp_path / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    (tmp_path / "m.onnx").write_bytes(sealed(model.SerializeToString()))
    for engine in ("onnxruntime", "openvino"):
        with pytest.raises(ModelFileError, match="cannot run"):
            runtime.load(tmp_path / "m.onnx", runtime=engine)


def test_a_folder_and_nothing_at_all_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="no file"):
        runtime.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx"):
        runtime.load(tmp_path / "none.onnx")


def test_each_load_names_the_other(tmp_path):
    model = KEPT.with_suffix(".adlib")
    with pytest.raises(
        ModelFileError, match=r"is a model file\. Load it by adlib\.load"
    ):
        runtime.load(model)
    with pytest.raises(ModelFileError, match=r"Load it by adlib\.runtime\.load"):
        load(KEPT)


def test_reading_needs_no_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert read_exported(KEPT).header["detector"] == "PaDiM"
