"""Loading a model: the same detector, or one clear error."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.base import clone

from adlib import PatchCore, load
from adlib.estimators import Calibration
from adlib.estimators._model_file import read_model, write_model
from adlib.exceptions import ModelFileError

REGIONS = ["length", "header", "tensors"]


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    """Bytes of a model file with a threshold."""
    path = tmp_path_factory.mktemp("saved") / "model.adlib"
    fitted.save(path)
    return path.read_bytes()


@pytest.fixture
def path(saved, tmp_path):
    target = tmp_path / "model.adlib"
    target.write_bytes(saved)
    return target


def rewrite(path, change):
    """Change a model file's header and tensors, and give it a fitting checksum."""
    content = read_model(path)
    change(content.header, content.tensors)
    write_model(path, content)


def test_a_model_comes_back_as_it_was_saved(fitted, good, mixed, tmp_path):
    model = clone(fitted).fit(good).calibrate(mixed, false_positive_rate=0.3)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert type(loaded) is PatchCore
    assert loaded.get_params() == model.get_params()
    for name in (
        "grid_",
        "n_patches_",
        "threshold_",
        "pixel_threshold_",
        "calibration_",
        "training_images_",
        "training_digests_",
        "skipped_",
    ):
        assert getattr(loaded, name) == getattr(model, name)
    assert loaded.backbone_.stages == model.backbone_.stages
    assert loaded.backbone_.normalisation == model.backbone_.normalisation
    np.testing.assert_array_equal(loaded.score(mixed), model.score(mixed))
    np.testing.assert_array_equal(loaded.anomaly_maps(mixed), model.anomaly_maps(mixed))
    assert loaded.predict(mixed).tolist() == model.predict(mixed).tolist()
    assert loaded.explain(mixed) == model.explain(mixed)


def test_saving_what_was_loaded_gives_the_same_bytes(path, saved):
    load(path).save(path)
    assert path.read_bytes() == saved


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"image_size": (64, 48)},
        {"image_size": np.int64(64), "coreset": np.float32(0.25)},
        {"image_size": (np.int64(64), np.int64(48))},
        {"stages": (1, 3)},
        {"stages": [2]},
        {"weights": None, "random_state": None},
        {"embedding": "paper", "projection": np.int64(8), "search": "faiss-flat"},
        {"search": "faiss-ivf"},
        {"search": "faiss-hnsw", "coreset": 1.0},
        {"search": "faiss-ivfpq"},
        {"search": "faiss-sq"},
        {"progress": np.False_, "batch_size": np.int32(2)},
    ],
)
def test_every_parameter_that_fits_can_be_saved(parameters, good, tmp_path):
    model = PatchCore(**{"image_size": 64, "progress": False} | parameters).fit(good)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))


@pytest.fixture(scope="module")
def indexed(good, tmp_path_factory):
    """A model with a FAISS index, and the bytes of its file."""
    path = tmp_path_factory.mktemp("indexed") / "model.adlib"
    model = PatchCore(image_size=64, search="faiss-hnsw", progress=False).fit(good)
    model.save(path)
    return model, path.read_bytes()


@pytest.fixture
def indexed_path(indexed, tmp_path):
    target = tmp_path / "indexed.adlib"
    target.write_bytes(indexed[1])
    return target


def test_an_index_comes_back_without_training(indexed, indexed_path, mixed):
    model, content = indexed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adlib.neighbors._faiss.build_index", None)
        loaded = load(indexed_path)
    assert loaded.search_recall_ == model.search_recall_
    assert loaded.describe() == model.describe()
    assert loaded.explain(mixed) == model.explain(mixed)
    np.testing.assert_array_equal(loaded.anomaly_maps(mixed), model.anomaly_maps(mixed))
    loaded.save(indexed_path)
    assert indexed_path.read_bytes() == content


def test_a_flipped_byte_of_the_index_is_found(indexed, indexed_path):
    content = indexed[1]
    index = read_model(indexed_path).tensors["bank.index"].tobytes()
    first = content.index(index)
    for offset in np.random.default_rng(0).integers(0, len(index), 20):
        damaged = bytearray(content)
        damaged[first + offset] ^= 1
        indexed_path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match="checksum does not fit"):
            load(indexed_path)


@pytest.mark.parametrize("saved_flat", [True, False])
def test_files_from_before_recall_was_measured_are_read(saved_flat, path, good):
    if saved_flat:
        model = PatchCore(image_size=64, search="faiss-flat", progress=False).fit(good)
        model.save(path)
        rewrite(path, without("state", "search_recall"))
    loaded = load(path)
    assert loaded.search_recall_ is None
    assert "search" not in loaded.describe()
    assert np.isfinite(loaded.score(good)).all()


def test_an_index_needs_faiss_to_load(indexed_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'"faiss-hnsw" needs.*adlib-vision\[faiss\]'):
        load(indexed_path)


@pytest.mark.slow
def test_weights_from_a_file_are_saved_in_the_model(fitted, good, tmp_path):
    network = PatchCore(weights=None, image_size=64).fit(good).backbone_._network
    import timm
    import torch

    whole = timm.create_model(fitted.backbone, pretrained=False)
    whole.load_state_dict(network.state_dict(), strict=False)
    weights = tmp_path / "weights.pth"
    torch.save(whole.state_dict(), weights)
    checked = f"{weights}#sha256={sha256(weights.read_bytes()).hexdigest()}"
    model = PatchCore(weights=checked, image_size=64, progress=False).fit(good)
    model.save(tmp_path / "model.adlib")
    weights.unlink()
    loaded = load(tmp_path / "model.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    assert loaded.weights == checked


@pytest.mark.parametrize("region", REGIONS)
def test_no_flipped_byte_passes_for_another_model(region, path, saved):
    rng = np.random.default_rng(REGIONS.index(region))
    header_end = 8 + int.from_bytes(saved[:8], "little")
    first, last = {
        "length": (0, 8),
        "header": (8, header_end),
        "tensors": (header_end, len(saved)),
    }[region]
    whole = read_model(path)
    for offset, mask in zip(
        rng.integers(first, last, 60), rng.integers(1, 256, 60), strict=True
    ):
        damaged = bytearray(saved)
        damaged[offset] ^= int(mask)
        path.write_bytes(damaged)
        try:
            load(path)
        except ModelFileError:
            continue
        found = read_model(path)
        assert region == "header"
        assert found.header == whole.header
        assert found.tensors.keys() == whole.tensors.keys()
        for name, tensor in whole.tensors.items():
            np.testing.assert_array_equal(found.tensors[name], tensor)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_model_is_refused(share, path, saved):
    path.write_bytes(saved[: int(share * len(saved))])
    with pytest.raises(ModelFileError, match="not a model file"):
        load(path)


def test_what_is_no_model_file_is_refused(tmp_path):
    save_file({"x": np.zeros(3)}, tmp_path / "foreign")
    (tmp_path / "text").write_text("a model, surely")
    for name in ("foreign", "text", "."):
        with pytest.raises(ModelFileError, match="adlib"):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no model file at"):
        load(tmp_path / "missing")


def test_a_wrong_device_is_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(ValueError, match="device of load"):
        load(tmp_path / "missing", device="gpu")


def parameter(name, value):
    return lambda header, tensors: header["parameters"].update({name: value})


def state(name, value):
    return lambda header, tensors: header["state"].update({name: value})


def calibration(**fields):
    sound = Calibration(1.0, 2.0, "conformal", 0.2, 6)._asdict() | {"scores": []}
    return state("calibration", sound | fields)


def tensor(name, change):
    return lambda header, tensors: tensors.update({name: change(tensors[name])})


def without(*keys):
    """Remove one entry of the header or a tensor."""

    def change(header, tensors):
        place = {"tensors": tensors, **header}
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def with_nan(bank):
    bank = bank.copy()
    bank[3, 4] = np.nan
    return bank


DAMAGES = {
    "unknown estimator": (
        lambda header, tensors: header.update(estimator="PaintCore"),
        "holds a 'PaintCore'; this adlib knows AnomalibPadim, AnomalibPatchcore, "
        "PaDiM, PatchCore",
    ),
    "missing parameter": (without("parameters", "coreset"), "'parameters' must be"),
    "extra parameter": (parameter("colour", 1), "'parameters' must be"),
    "parameter out of range": (parameter("coreset", 2.0), "coreset of PatchCore"),
    "parameter of another kind": (parameter("batch_size", {}), "batch_size of"),
    "unknown backbone": (parameter("backbone", "my_net"), "a timm network"),
    "backbone of another kind": (parameter("backbone", 5), "backbone"),
    "backbone of other shapes": (parameter("backbone", "resnet18"), "do not fit"),
    "missing grid": (without("state", "grid"), "'grid' must be 2 numbers"),
    "grid of text": (state("grid", ["8", "8"]), "'grid' must be 2 numbers"),
    "grid of bools": (state("grid", [True, True]), "'grid' must be 2 numbers"),
    "grid too small": (state("grid", [2, 2]), "'bank.origins' must be"),
    "threshold of text": (state("threshold", "high"), "'threshold' must be"),
    "threshold not finite": (state("threshold", np.inf), "'threshold' must be"),
    "training images": (state("training_images", [1]), "'training_images' must be"),
    "too few names": (state("training_images", ["a"]), "'training_digests' must be 1"),
    "digests of numbers": (state("training_digests", [1] * 6), "'training_digests'"),
    "pixel threshold of text": (state("pixel_threshold", "1"), "'pixel_threshold'"),
    "calibration of text": (state("calibration", "F1"), "'calibration' must be"),
    "calibration without a kind": (calibration(kind=None), "'calibration' must be"),
    "calibration of a list": (calibration(kind=["F1"]), "'calibration' must be"),
    "calibration without a rate": (
        calibration(false_positive_rate=None),
        "'false_positive_rate' must be",
    ),
    "calibration of a rate that cannot be": (
        calibration(n_normal=2),
        "'calibration' must be",
    ),
    "calibration of defects at a rate": (
        calibration(n_anomalous=2),
        "'calibration' must be",
    ),
    "calibration by F1 without defects": (
        calibration(kind="F1", false_positive_rate=None),
        "'calibration' must be",
    ),
    "calibration with another field": (calibration(why=1), "'calibration' must be"),
    "calibration not finite": (calibration(threshold=np.inf), "'threshold' must be"),
    "calibration by an unknown rule": (
        calibration(rule="normal"),
        "'calibration' must be",
    ),
    "calibration with scores of text": (
        calibration(scores="high"),
        "'scores' must be numbers",
    ),
    "calibration with a number for scores": (
        calibration(scores=5),
        "'scores' must be numbers",
    ),
    "calibration with too few scores": (
        calibration(scores=[1.0]),
        "'calibration' must be",
    ),
    "calibration with scores in disorder": (
        calibration(scores=[2.0, 1.0, 3.0, 4.0, 5.0, 6.0]),
        "'calibration' must be",
    ),
    "calibration with a review rate alone": (
        calibration(review_rate=0.5),
        "'review_threshold' must be",
    ),
    "calibration with a lower review rate": (
        calibration(review_rate=0.1, review_threshold=0.5),
        "'calibration' must be",
    ),
    "calibration by F1 with a review threshold": (
        calibration(
            kind="F1", false_positive_rate=None, n_anomalous=2, review_threshold=0.5
        ),
        "'calibration' must be",
    ),
    "review threshold of text": (
        state("review_threshold", "1"),
        "'review_threshold' must be",
    ),
    "mean of two": (state("mean", [0.5, 0.5]), "'mean' must be 3 numbers"),
    "std of NaN": (state("std", [np.nan] * 3), "'std' must be 3 numbers"),
    "std of zero": (state("std", [0.0, 1.0, 1.0]), "'std' must be"),
    "stages of none": (state("stages", []), "different stage indices"),
    "stages unknown": (state("stages", [9]), "different stage indices"),
    "stages of another kind": (state("stages", 2), "'stages' must be numbers"),
    "missing count": (without("state", "n_patches"), "'n_patches' must be"),
    "count of zero": (state("n_patches", 0), "'n_patches' must be"),
    "missing bank": (without("tensors", "bank.embeddings"), "'bank.embeddings' must"),
    "bank in float64": (
        tensor("bank.embeddings", lambda bank: bank.astype(np.float64)),
        "'bank.embeddings' must be a tensor of kind float32",
    ),
    "bank too narrow": (
        tensor("bank.embeddings", lambda bank: bank[:, 1:]),
        r"'bank.embeddings' must be .* \(None, 152\)",
    ),
    "bank flat": (tensor("bank.embeddings", np.ravel), "'bank.embeddings' must be"),
    "bank empty": (tensor("bank.embeddings", lambda bank: bank[:0]), "damaged"),
    "bank with NaN": (tensor("bank.embeddings", with_nan), "must be finite"),
    "origins too few": (
        tensor("bank.origins", lambda origins: origins[1:]),
        "'bank.origins' must be a tensor of kind int64",
    ),
    "origins in int32": (
        tensor("bank.origins", lambda origins: origins.astype(np.int32)),
        "'bank.origins' must be a tensor of kind int64",
    ),
    "origins negative": (
        tensor("bank.origins", lambda origins: origins - 1),
        "'bank.origins' must be image, row and column",
    ),
    "backbone tensor missing": (
        without("tensors", "backbone.conv_stem.weight"),
        "do not fit the backbone: 1 of its",
    ),
    "backbone tensor of another shape": (
        tensor("backbone.conv_stem.weight", lambda weight: weight[:, :1]),
        "do not fit the backbone: 'conv_stem.weight'",
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_fields_that_no_model_has_are_refused(damage, path):
    change, fragment = DAMAGES[damage]
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=fragment):
        load(path)


INDEX_DAMAGES = {
    "missing index": (without("tensors", "bank.index"), "'bank.index' must be"),
    "index in float32": (
        tensor("bank.index", lambda index: index.astype(np.float32)),
        "'bank.index' must be a tensor of kind uint8",
    ),
    "index cut off": (tensor("bank.index", lambda index: index[:-1]), "index of Mem"),
    "index of zeros": (tensor("bank.index", np.zeros_like), "cannot read"),
    "index of another bank": (
        tensor("bank.embeddings", lambda bank: bank[:-1]),
        "'bank.origins' must be",
    ),
    "index of more rows": (
        lambda header, tensors: tensors.update(
            {k: tensors[k][:-1] for k in ("bank.embeddings", "bank.origins")}
        ),
        "index of MemoryBank must be",
    ),
    "index of another kind": (parameter("search", "faiss-ivf"), "IndexIVFFlat of"),
    "index empty": (
        tensor("bank.index", lambda index: index[:0]),
        "index of MemoryBank must be",
    ),
    "recall above one": (state("search_recall", [5, 1.5, 1.0, 1.0]), "'search_recall'"),
    "recall of none": (state("search_recall", [0, 0.5, 1.0, 1.0]), "'search_recall'"),
    "recall of three": (state("search_recall", [5, 0.5, 1.0]), "4 numbers"),
    "recall of text": (state("search_recall", "good"), "4 numbers"),
}


@pytest.mark.parametrize("damage", list(INDEX_DAMAGES))
def test_fields_that_no_indexed_model_has_are_refused(damage, indexed_path):
    change, fragment = INDEX_DAMAGES[damage]
    rewrite(indexed_path, change)
    with pytest.raises(ModelFileError, match=fragment):
        load(indexed_path)


def test_loading_never_asks_a_hub(path, monkeypatch):
    asked = []

    def create_model(name, **options):
        asked.append(name)
        raise RuntimeError("the hub cannot be reached")

    monkeypatch.setattr("timm.create_model", create_model)
    rewrite(path, parameter("backbone", "hf-hub:some/one"))
    with pytest.raises(ModelFileError, match="damaged"):
        load(path)
    assert asked == []


def test_another_format_is_refused_with_the_version_that_wrote_it(path):
    def change(header, tensors):
        header["format"] = 2
        header["versions"]["adlib"] = "9.9"

    rewrite(path, change)
    with pytest.raises(ModelFileError, match=r"format 2.*\(9\.9\)"):
        load(path)


def test_a_crash_during_save_leaves_the_old_model(fitted, path, saved, monkeypatch):
    def crash(tensors, target, metadata):
        Path(target).write_bytes(saved[: len(saved) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.numpy.save_file", crash)
    with pytest.raises(KeyboardInterrupt):
        fitted.save(path)
    assert path.read_bytes() == saved
    assert list(path.parent.iterdir()) == [path]
