"""Loading a model: the same detector, or one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.base import clone

from adlib import PatchCore, load
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
    for name in ("grid_", "n_patches_", "threshold_", "training_images_", "skipped_"):
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
        {"progress": np.False_, "batch_size": np.int32(2)},
    ],
)
def test_every_parameter_that_fits_can_be_saved(parameters, good, tmp_path):
    model = PatchCore(**{"image_size": 64, "progress": False} | parameters).fit(good)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))


def test_weights_from_a_file_are_saved_in_the_model(fitted, good, tmp_path):
    network = PatchCore(weights=None, image_size=64).fit(good).backbone_._network
    import timm
    import torch

    whole = timm.create_model(fitted.backbone, pretrained=False)
    whole.load_state_dict(network.state_dict(), strict=False)
    weights = tmp_path / "weights.pth"
    torch.save(whole.state_dict(), weights)
    model = PatchCore(weights=weights, image_size=64, progress=False).fit(good)
    model.save(tmp_path / "model.adlib")
    weights.unlink()
    loaded = load(tmp_path / "model.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    assert Path(loaded.weights) == weights


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
        "holds a 'PaintCore'; this adlib knows PatchCore",
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
    "too few names": (state("training_images", ["a"]), "'bank.origins' must be"),
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
