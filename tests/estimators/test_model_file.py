"""The model file: what goes in comes out, and damage never passes for content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import adlib.estimators
from adlib.estimators._model_file import ModelContent, read_model, write_model
from adlib.exceptions import ModelFileError

HEADER = {
    "format": 1,
    "estimator": "PatchCore",
    "versions": {"adlib": "0.1.0"},
    "parameters": {"coreset": 0.1, "stages": [1, 2], "name": "Köln\udcff"},
    "state": {"threshold": 1 / 3, "nothing": None},
}
TENSORS = {
    "bank": np.arange(6, dtype=np.float32).reshape(2, 3),
    "origins": np.arange(6, dtype=np.int64).reshape(2, 3),
    "count": np.array(7),
}


def same(first, second):
    return first.header == second.header and all(
        np.array_equal(first.tensors[name], second.tensors[name], equal_nan=True)
        and first.tensors[name].dtype == second.tensors[name].dtype
        for name in first.tensors.keys() | second.tensors.keys()
    )


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "model.adlib"
    write_model(target, ModelContent(HEADER, TENSORS))
    return target


def test_what_was_written_is_read(path):
    assert same(read_model(path), ModelContent(HEADER, TENSORS))
    assert same(read_model(str(path)), ModelContent(HEADER, TENSORS))


def test_arrays_in_any_memory_order_are_written_as_they_look(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    content = ModelContent(HEADER, {"turned": array.T, "thinned": array[::2, 1::2]})
    write_model(tmp_path / "model", content)
    assert same(read_model(tmp_path / "model"), content)


def test_writing_leaves_one_file_and_replaces_the_old_one(path):
    changed = ModelContent({**HEADER, "state": {}}, TENSORS)
    write_model(path, changed)
    assert same(read_model(path), changed)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0x01, 0xA0])
def test_no_flipped_byte_passes_for_content(mask, path):
    whole = path.read_bytes()
    content = ModelContent(HEADER, TENSORS)
    harmless = 0
    for offset in range(len(whole)):
        damaged = bytearray(whole)
        damaged[offset] ^= mask
        path.write_bytes(damaged)
        try:
            found = read_model(path)
        except ModelFileError:
            continue
        assert same(found, content), f"byte {offset} ^ {mask:#x}"
        harmless += 1
    assert harmless < 0.05 * len(whole)


def test_no_shortened_file_passes_for_content(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="not a model file"):
            read_model(path)


def test_a_longer_file_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    with pytest.raises(ModelFileError, match=r"model\.adlib.* damaged"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"adlib", b"x" * 5000, b"\0" * 64])
def test_other_content_is_no_model_file(content, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"notes\.txt.* is not a model file"):
        read_model(path)


def test_a_directory_is_no_model_file(tmp_path):
    with pytest.raises(ModelFileError, match="is not a model file"):
        read_model(tmp_path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model file at .*none\.adlib"):
        read_model(tmp_path / "none.adlib")


def test_a_safetensors_file_of_others_is_told_apart(tmp_path):
    save_file(TENSORS, tmp_path / "other", {"made by": "someone"})
    with pytest.raises(ModelFileError, match="not one that adlib saved"):
        read_model(tmp_path / "other")


@pytest.mark.parametrize(
    ("header", "fragment"),
    [
        ("{", "damaged header"),
        ("[" * 100_000, "damaged header"),
        ("[]", "'format' must be of kind int"),
        ("3", "'format' must be of kind int"),
        ({k: v for k, v in HEADER.items() if k != "state"}, "'state' must be of kind"),
        ({**HEADER, "versions": []}, "'versions' must be of kind dict"),
        ({**HEADER, "estimator": None}, "'estimator' must be of kind str"),
        ({**HEADER, "format": 2}, r"format 2; .* reads format 1.*\(0\.1\.0\)"),
        ({**HEADER, "format": 0, "versions": {}}, r"format 0;.*\(unknown\)"),
        (HEADER, "checksum does not fit"),
        ({**HEADER, "sha256": "0" * 64}, "checksum does not fit"),
        ({**HEADER, "sha256": 5}, "checksum does not fit"),
    ],
)
def test_headers_that_are_not_as_written_are_refused(header, fragment, tmp_path):
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(TENSORS, tmp_path / "model", {"adlib": text})
    with pytest.raises(ModelFileError, match=fragment):
        read_model(tmp_path / "model")


def test_a_crash_while_writing_leaves_the_old_file_whole(path, monkeypatch):
    before = path.read_bytes()

    def crash(tensors, target, metadata):
        Path(target).write_bytes(before[: len(before) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", crash)
    with pytest.raises(OSError, match="No space left"):
        write_model(path, ModelContent({**HEADER, "state": {}}, TENSORS))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_writing_into_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_model(tmp_path / "none" / "model", ModelContent(HEADER, TENSORS))


def test_nothing_in_the_estimators_can_run_a_file():
    sources = Path(adlib.estimators.__file__).parent.glob("*.py")
    text = "\n".join(path.read_text("utf-8") for path in sources)
    assert "import safetensors" in text or "from safetensors" in text
    for word in ("import pickle", "from pickle", "joblib", "eval(", "exec(", "marshal"):
        assert word not in text.replace(".eval()", "")
