"""The adapters score as anomalib's own models do, and beside adlib's as documented.

What a caller may rely on is in ``tests/test_estimators_common.py``, where the adapters
join in wherever anomalib is installed.
"""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from sklearn.base import clone

from adlib import PaDiM, PatchCore, load
from adlib.anomalib import AnomalibPadim, AnomalibPatchcore, _detector
from adlib.estimators._model_file import read_model, write_model
from adlib.exceptions import ImageError, ModelFileError, WeightsError
from adlib.features import Backbone, Embedder
from adlib.neighbors import MemoryBank

ADAPTERS = [AnomalibPadim, AnomalibPatchcore]
needs_anomalib = pytest.mark.skipif(
    find_spec("anomalib") is None, reason="the extra anomalib is not installed"
)


@pytest.fixture(scope="module")
def padim(good):
    """A small fitted AnomalibPadim; tests must not change it."""
    return AnomalibPadim(image_size=64, progress=False).fit(good)


@pytest.fixture(scope="module")
def patchcore(good):
    """A small fitted AnomalibPatchcore; tests must not change it."""
    return AnomalibPatchcore(image_size=64, coreset=0.2, progress=False).fit(good)


@pytest.fixture(params=["padim", "patchcore"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def path(model, tmp_path):
    """The file of a saved model."""
    model.save(tmp_path / "model.adlib")
    return tmp_path / "model.adlib"


def pixels(images):
    """Return grey images as the detectors read them, (n, 3, h, w) float32."""
    return torch.from_numpy(images / np.float32(255))[:, None].repeat(1, 3, 1, 1)


def normalised(images):
    """Return grey images as the default backbone's weights expect them."""
    return (pixels(images) - 127 / 255) / (128 / 255)


def rewrite(path, change):
    """Change a model file's header and tensors, and give it a fitting checksum."""
    content = read_model(path)
    change(content.header, content.tensors)
    write_model(path, content)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_without_anomalib_fitting_names_the_extra(kind, good, monkeypatch):
    monkeypatch.setitem(sys.modules, kind._model_path[0], None)
    expected = rf"{kind.__name__} needs anomalib, .*pip install 'adlib-vision\[anomalib"
    with pytest.raises(ImportError, match=expected):
        kind(image_size=64).fit(good)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_without_anomalib_loading_names_the_extra(kind, fitted, tmp_path, monkeypatch):
    path = tmp_path / "model.adlib"
    fitted.save(path)

    def as_if_saved_by_the_adapter(header, tensors):
        header["estimator"] = kind.__name__
        header["parameters"] = kind(image_size=64).get_params()

    rewrite(path, as_if_saved_by_the_adapter)
    monkeypatch.setitem(sys.modules, kind._model_path[0], None)
    with pytest.raises(ImportError, match=r"adlib-vision\[anomalib\]"):
        load(path)


@pytest.mark.parametrize(
    ("kind", "parameters", "error"),
    [
        (AnomalibPadim, {"n_features": 0}, ValueError),
        (AnomalibPadim, {"n_features": 2.5}, TypeError),
        (AnomalibPadim, {"image_size": 16}, ValueError),
        (AnomalibPatchcore, {"coreset": 0.0}, ValueError),
        (AnomalibPatchcore, {"coreset": 2}, ValueError),
        (AnomalibPatchcore, {"n_neighbors": 0}, ValueError),
        (AnomalibPatchcore, {"image_size": (64, 16)}, ValueError),
        (AnomalibPatchcore, {"batch_size": 0}, ValueError),
    ],
)
def test_wrong_parameters_are_refused(kind, parameters, error, good):
    name = next(iter(parameters))
    with pytest.raises(error, match=rf"{name} of {kind.__name__} must be"):
        kind(**parameters).fit(good)


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("name", ["precision", "runtime", "embedding"])
def test_what_anomalib_leaves_no_choice_of_is_no_parameter(kind, name):
    assert name not in kind().get_params()
    with pytest.raises(TypeError, match=name):
        kind(**{name: "float32"})


@needs_anomalib
def test_scores_are_those_of_anomalibs_padim(padim, good, mixed):
    from anomalib.models.image.padim.torch_model import PadimModel

    own = PadimModel(
        backbone="tf_efficientnet_lite0",
        layers=["blocks.1", "blocks.2", "blocks.4"],
        pre_trained=False,
        n_features=100,
    )
    own.feature_extractor.feature_extractor.load_state_dict(
        padim.backbone_.state(), strict=False
    )
    own.idx = padim.model_.idx
    own.train()
    own(normalised(good))
    own.fit()
    expected = own.eval()(normalised(mixed))
    maps = expected.anomaly_map[:, 0].numpy()
    np.testing.assert_allclose(padim.anomaly_maps(mixed), maps, rtol=2e-3)
    found = padim.model_(normalised(mixed[:1]))
    np.testing.assert_array_equal(padim.score(mixed[:1]), found.pred_score[0].numpy())
    np.testing.assert_array_equal(
        padim.anomaly_maps(mixed[:1]), found.anomaly_map[0].numpy()
    )


@needs_anomalib
def test_scores_are_those_of_anomalibs_patchcore(patchcore, good, mixed):
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    own = PatchcoreModel(
        backbone="tf_efficientnet_lite0",
        layers=["blocks.2", "blocks.4"],
        pre_trained=False,
    )
    own.feature_extractor.feature_extractor.load_state_dict(
        patchcore.backbone_.state(), strict=False
    )
    embeddings = own.train()(normalised(good))
    bank = patchcore.model_.memory_bank
    assert len(bank) == int(0.2 * len(embeddings)) == int(0.2 * patchcore.n_patches_)
    distances = (bank[:, None] - embeddings).norm(dim=2)
    assert distances.min(dim=1).values.max() < 1e-3
    own.memory_bank = bank
    expected = own.eval()(normalised(mixed))
    np.testing.assert_allclose(patchcore.score(mixed), expected.pred_score, rtol=1e-4)
    np.testing.assert_allclose(
        patchcore.anomaly_maps(mixed), expected.anomaly_map[:, 0], rtol=1e-4
    )


@needs_anomalib
def test_padim_agrees_with_adlibs_patch_by_patch(padim, good, mixed, monkeypatch):
    channels = np.sort(padim.model_.idx.numpy())  # their order changes no distance
    drawn = PaDiM._new_embedder

    def with_anomalibs_channels(self, backbone, settings):
        return Embedder(backbone, drawn(self, backbone, settings).embedding, channels)

    monkeypatch.setattr(PaDiM, "_new_embedder", with_anomalibs_channels)
    own = PaDiM(
        image_size=64,
        stages=(1, 2, 3),
        embedding="nearest",
        n_channels=100,
        regularization=0.01 + 1e-5,
        aggregation="map_max",
        progress=False,
    ).fit(good)
    np.testing.assert_array_equal(own.channels_, channels)
    expected = own._score_patches(own._embedder()(pixels(mixed)).numpy()).patch_scores
    model = padim.model_

    def embeddings(images):
        with torch.no_grad():
            features = model.feature_extractor(normalised(images))
            return model.generate_embedding(features)

    def distances(inverses):
        found = model.anomaly_map_generator.compute_distance(
            embeddings(mixed).type(inverses.dtype), [model.gaussian.mean, inverses]
        )
        return found[:, 0].numpy()

    assert own.grid_ == padim.grid_ == expected.shape[1:]
    # What is left between the two is the rounding of anomalib's inverse in float32.
    inverses = model.gaussian.inv_covariance
    np.testing.assert_allclose(distances(inverses), expected, rtol=1e-3)
    learned = embeddings(good).double().flatten(2).permute(2, 0, 1)
    centred = learned - learned.mean(dim=1, keepdim=True)
    covariances = centred.mT @ centred / (len(good) - 1)
    covariances += (0.01 + 1e-5) * torch.eye(100)
    exact = distances(torch.linalg.inv(covariances))
    np.testing.assert_allclose(exact, expected, rtol=1e-5)


@needs_anomalib
@pytest.mark.parametrize(
    ("n_neighbors", "aggregation"), [(1, "max"), (3, "reweighted"), (9, "reweighted")]
)
def test_patchcore_agrees_with_adlibs(patchcore, good, mixed, n_neighbors, aggregation):
    theirs = clone(patchcore).set_params(n_neighbors=n_neighbors).fit(good)
    own = PatchCore(
        image_size=64,
        aggregation=aggregation,
        n_neighbors=n_neighbors if n_neighbors > 1 else 2,
        progress=False,
    ).fit(good)
    own.memory_bank_ = MemoryBank(theirs.model_.memory_bank.numpy())
    assert theirs.grid_ == own.grid_
    np.testing.assert_allclose(theirs.score(mixed), own.score(mixed), rtol=1e-4)


@needs_anomalib
def test_neighbours_may_change_after_fit(patchcore, good, mixed):
    changed = clone(patchcore).fit(good).set_params(n_neighbors=1)
    refitted = clone(changed).fit(good)
    np.testing.assert_array_equal(changed.score(mixed), refitted.score(mixed))


@needs_anomalib
def test_a_distance_to_itself_is_not_zero_as_documented(patchcore):
    bank = patchcore.model_.memory_bank
    distances, nearest = patchcore.model_.nearest_neighbors(bank, 1)
    assert nearest.flatten().tolist() == list(range(len(bank)))
    lengths = bank.norm(dim=1)
    assert 0.0 < distances.max() < (1e-3 * lengths).max()


@needs_anomalib
def test_the_callers_generators_stay_as_they_are(model, good):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    clone(model).fit(good)
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@needs_anomalib
def test_seeds_decide_what_is_drawn(model, good, mixed):
    other = clone(model).set_params(random_state=1).fit(good)
    assert (other.score(mixed) != model.score(mixed)).any()
    unseeded = clone(model).set_params(random_state=None)
    first, second = (clone(unseeded).fit(good).score(mixed) for _ in range(2))
    assert (first != second).any()


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self):
        return True


@needs_anomalib
def test_bars_show_on_a_terminal_alone_and_on_demand(
    patchcore, good, monkeypatch, capsys
):
    clone(patchcore).set_params(progress=True).fit(good)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr", silent := Terminal())
    clone(patchcore).fit(good)
    assert silent.getvalue() == ""
    monkeypatch.setattr("sys.stderr", telling := Terminal())
    clone(patchcore).set_params(progress=True).fit(good)
    assert "Selecting Coreset" in telling.getvalue()


@needs_anomalib
def test_more_features_than_there_are_keep_all(good, mixed):
    model = AnomalibPadim(image_size=64, n_features=1000, progress=False).fit(good)
    assert sorted(model.model_.idx.tolist()) == list(range(24 + 40 + 112))
    assert "176 of 176 features" in model.describe()["Gaussians"]
    assert np.isfinite(model.score(mixed)).all()


@needs_anomalib
def test_too_little_to_learn_from_is_refused(padim, patchcore, good):
    with pytest.raises(ImageError, match=r"at least 2 usable normal images.*got 1"):
        clone(padim).fit(good[:1])
    few = clone(patchcore).set_params(coreset=0.02)
    with pytest.raises(ValueError, match=r"at least 2 of the 64 patches.*got 0\.02"):
        few.fit(good[:1])
    few.set_params(n_neighbors=1).fit(good[:1])
    with pytest.raises(ValueError, match="at least 2 of the 64 patches"):
        few.set_params(n_neighbors=2).score(good)


@needs_anomalib
def test_names_that_timm_flattens_are_found(good):
    model = AnomalibPatchcore(
        backbone="convnext_atto",
        weights=None,
        image_size=64,
        coreset=0.1,
        n_neighbors=1,
        progress=False,
    ).fit(good)
    own = PatchCore(
        backbone="convnext_atto", weights=None, image_size=64, aggregation="max"
    ).fit(good)
    own.memory_bank_ = MemoryBank(model.model_.memory_bank.numpy())
    # Training images hold the bank's patches, to which anomalib's distance is noise.
    np.testing.assert_allclose(model.score(good), own.score(good), rtol=1e-3)


class Extractor(torch.nn.Module):
    """Stands in for a network of anomalib's."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 2, 1)
        self.head = torch.nn.BatchNorm2d(2)


def test_weights_that_have_no_place_are_refused():
    weights = {"stem.weight": torch.ones(2, 3, 1, 1), "neck.bias": torch.ones(2)}
    with pytest.raises(
        WeightsError, match=r"no place for 'neck\.bias' of shape \(2,\)"
    ):
        _detector._fill(Extractor(), weights, "my_net")
    with pytest.raises(WeightsError, match=r"no place for 'stem\.weight'"):
        _detector._fill(Extractor(), {"stem.weight": torch.ones(2)}, "my_net")


def test_what_adlib_does_not_know_is_no_number():
    network = Extractor()
    _detector._fill(network, {"stem.weight": torch.ones(2, 3, 1, 1)}, "my_net")
    assert (network.stem.weight == 1).all()
    for unknown in (network.stem.bias, network.head.weight, network.head.running_var):
        assert unknown.isnan().all()


@needs_anomalib
def test_a_network_that_needs_other_tensors_is_refused(padim, good, monkeypatch):
    state = Backbone.state

    def without_the_last_stage(self):
        whole = state(self).items()
        return {k: v for k, v in whole if not k.startswith("blocks.4.")}

    monkeypatch.setattr(Backbone, "state", without_the_last_stage)
    with pytest.raises(WeightsError, match="tensors that adlib's network does not"):
        clone(padim).fit(good)


@needs_anomalib
def test_a_layer_that_anomalib_does_not_find_is_refused(patchcore, good, monkeypatch):
    names = ["blocks.2", "somewhere"]
    monkeypatch.setattr(Backbone, "layers", lambda self: list(names))
    with pytest.raises(ValueError, match=r"in which anomalib finds blocks\.2, some"):
        clone(patchcore).fit(good)


@needs_anomalib
def test_models_come_back_as_they_were_saved(model, path, mixed):
    content = read_model(path)
    assert content.header["versions"]["anomalib"] == version("anomalib")
    loaded = load(path, device="cpu")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.score(mixed), model.score(mixed))
    np.testing.assert_array_equal(loaded.anomaly_maps(mixed), model.anomaly_maps(mixed))
    before = path.read_bytes()
    load(path).save(path)
    assert path.read_bytes() == before


@needs_anomalib
@pytest.mark.parametrize(
    ("name", "value"), [("precision", "float32"), ("runtime", "torch")]
)
def test_loading_in_another_way_is_refused(name, value, model, path):
    kind = type(model).__name__
    with pytest.raises(ValueError, match=rf"{name} of load must be None .*{kind}"):
        load(path, **{name: value})


def tensor(name, change):
    return lambda header, tensors: tensors.update({name: change(tensors[name])})


def entry(part, name, value):
    return lambda header, tensors: header[part].update({name: value})


DAMAGES = [
    ("padim", tensor("gaussian.mean", lambda mean: mean[:, 1:]), "gaussian.mean"),
    ("padim", tensor("gaussian.mean", lambda mean: mean * np.nan), "finite numbers"),
    ("padim", tensor("gaussian.inv_covariance", np.float64), "inv_covariance"),
    ("padim", lambda header, tensors: tensors.pop("features"), "features"),
    ("padim", tensor("features", np.zeros_like), "different numbers below 176"),
    ("padim", tensor("features", lambda chosen: chosen - 1), "different numbers"),
    ("padim", tensor("features", lambda chosen: chosen + 100), "different numbers"),
    ("padim", entry("parameters", "n_features", 99), r"features.*\(99,\)"),
    ("padim", entry("parameters", "image_size", 96), r"'grid' must be \[24, 24\]"),
    ("padim", entry("parameters", "precision", "float32"), "'parameters' must be"),
    ("patchcore", tensor("memory_bank", lambda bank: bank[:, 1:]), "memory_bank"),
    ("patchcore", tensor("memory_bank", lambda bank: bank[:0]), "finite numbers"),
    ("patchcore", tensor("memory_bank", lambda bank: bank / 0), "finite numbers"),
    ("patchcore", tensor("memory_bank", lambda bank: bank.repeat(9, 0)), "at most 384"),
    ("patchcore", entry("state", "grid", [4, 16]), r"'grid' must be \[8, 8\]"),
]


@needs_anomalib
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize(("name", "change", "fragment"), DAMAGES)
def test_fields_that_no_model_has_are_refused(
    name, change, fragment, request, tmp_path
):
    path = tmp_path / "model.adlib"
    request.getfixturevalue(name).save(path)
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=fragment):
        load(path)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("method", ["embeddings", "leave_one_out_scores"])
def test_what_anomalib_does_not_offer_is_refused(adapter, method, good):
    with pytest.raises(TypeError, match=f"{adapter.__name__} has no {method}: .* Use"):
        getattr(adapter(), method)(good)
