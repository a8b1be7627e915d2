"""PaDiM: what it learns and how it scores, beside a plain twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA

from adlib import PaDiM, load
from adlib.estimators._model_file import read_model, write_model
from adlib.estimators._results import anomaly_maps
from adlib.exceptions import ImageError, ModelFileError
from adlib.images import open_source, read_batches
from tests import reference


def padim(**parameters):
    return PaDiM(**{"image_size": 64, "progress": False} | parameters)


@pytest.fixture(scope="module")
def learned(good):
    """A small fitted PaDiM; tests must not change it."""
    return padim().fit(good)


def maps_of(model, images):
    """Return the feature maps of images, one array a stage."""
    size = {"image_size": (64, 64), "batch_size": len(images)}
    [batch] = read_batches(open_source(images, "test"), **size)
    return [m.numpy() for m in model.backbone_(torch.from_numpy(batch.images))]


def nearest_embedding(maps):
    side = maps[0].shape[-1]
    stages = [
        m.repeat(side // m.shape[-1], 2).repeat(side // m.shape[-1], 3) for m in maps
    ]
    return np.concatenate(stages, axis=1).transpose(0, 2, 3, 1)


def flat(embeddings):
    return embeddings.reshape(len(embeddings), -1, embeddings.shape[-1])


def test_default_scores_are_those_of_the_plain_twin(learned, good, mixed):
    known, asked = (
        flat(reference.concat_embedding(maps_of(learned, images)))
        for images in (good, mixed)
    )
    expected = reference.mahalanobis(known, asked, 0.1)
    np.testing.assert_allclose(learned.score(mixed), expected.max(axis=1), rtol=1e-4)
    maps = anomaly_maps(expected.reshape(6, 8, 8).astype(np.float32), (64, 64))
    np.testing.assert_allclose(learned.anomaly_maps(mixed), maps, rtol=1e-4)


def test_the_papers_settings_give_the_papers_scores(good, mixed):
    model = padim(
        stages=(1, 2, 3),
        embedding="nearest",
        n_channels=30,
        regularization=0.01,
        aggregation="map_max",
    ).fit(good)
    known, asked = (
        flat(nearest_embedding(maps_of(model, images)))[:, :, model.channels_]
        for images in (good, mixed)
    )
    distances = reference.mahalanobis(known, asked, 0.01)
    maps = anomaly_maps(distances.reshape(6, 16, 16).astype(np.float32), (64, 64))
    np.testing.assert_allclose(model.score(mixed), maps.max(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(model.anomaly_maps(mixed), maps, rtol=1e-4)


@pytest.mark.parametrize("n_images", [1, 6, 90])
def test_one_image_or_many_give_the_same_form_to_a_caller(n_images, good, mixed):
    images = np.concatenate([good] * 15)[:n_images]
    noise = np.random.default_rng(0).integers(0, 9, images.shape, dtype=np.uint8)
    model = padim().fit(images + noise)
    assert (model.gaussian_.spread is None) == (n_images == 90)
    scores = model.score(mixed)
    assert scores[3:].min() > scores[:3].max()


def test_random_channels_are_drawn_by_the_seed(good):
    drawn = [
        padim(n_channels=20, random_state=seed).fit(good[:1]).channels_
        for seed in (0, 0, 1, None, None)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert len({tuple(channels) for channels in drawn}) == 4
    for channels in drawn:
        assert len(set(channels.tolist())) == 20
        assert (np.diff(channels) > 0).all()


def test_random_and_all_are_the_same_where_all_are_drawn(learned, good, mixed):
    np.testing.assert_array_equal(learned.channels_, np.arange(152))
    whole = padim(channels="all").fit(good)
    assert whole.channels_ is None
    np.testing.assert_array_equal(whole.score(mixed), learned.score(mixed))


@pytest.mark.slow
def test_drawn_channels_are_features_of_the_whole_embedding(learned, good):
    for embedding in ("concat", "nearest", "paper"):
        some = padim(embedding=embedding, n_channels=7).fit(good)
        whole = padim(embedding=embedding, channels="all").fit(good[:1])
        images = torch.rand(1, 3, 64, 64)
        np.testing.assert_allclose(
            some._embedder()(images),
            whole._embedder()(images)[..., some.channels_],
            rtol=1e-5,
            atol=1e-6,
        )


def test_a_stage_without_a_drawn_channel_still_gives_the_grid(good, mixed):
    model = padim(n_channels=1, random_state=1).fit(good)
    assert model.channels_[0] >= 40  # none of the first stage, whose grid is 8 x 8
    assert model.grid_ == (8, 8)
    assert np.isfinite(model.score(mixed)).all()


def test_principal_components_are_those_of_scikit_learn(learned, good):
    model = padim(channels="pca", n_channels=5).fit(good)
    embeddings = reference.concat_embedding(maps_of(learned, good)).reshape(-1, 152)
    expected = PCA(5).fit(embeddings).components_
    overlap = np.abs((expected * model.directions_.T).sum(axis=1))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-4)


COMPONENTS = {"image_size": 32, "channels": "pca", "n_channels": 3}


@pytest.fixture(scope="module")
def by_32():
    """Forty images, what the first 32 have as components, and scores of all."""
    images = np.random.default_rng(0).random((40, 32, 32), dtype=np.float32)
    first = padim(**COMPONENTS).fit(images[:32])
    model = padim(batch_size=32, **COMPONENTS).fit(images)
    return images, first.directions_, model.score(images)


@pytest.mark.parametrize("batch_size", [1, pytest.param(5, marks=pytest.mark.slow), 64])
def test_principal_components_are_of_the_first_images_however_batched(
    batch_size, by_32
):
    images, directions, scores = by_32
    model = padim(batch_size=batch_size, **COMPONENTS).fit(images)
    np.testing.assert_array_equal(model.directions_, directions)
    np.testing.assert_array_equal(model.score(images), scores)


def test_image_scores_are_what_aggregation_says(learned, mixed):
    patches = learned._score_patches(
        learned._embedder()(torch.rand(2, 3, 64, 64)).numpy()
    )
    assert patches.maps is None
    scores = {}
    for aggregation in ("max", "top_mean", "map_max"):
        model = clone(learned)
        model.__dict__.update(vars(learned))
        model.set_params(aggregation=aggregation, top_ratio=0.05)
        scores[aggregation] = model.score(mixed)
    maps = learned.anomaly_maps(mixed)
    np.testing.assert_array_equal(scores["map_max"], maps.max(axis=(1, 2)))
    assert (scores["top_mean"] < scores["max"]).all()
    inspected = [result.score for result in learned.inspect(mixed)]
    np.testing.assert_array_equal(inspected, scores["max"])


def test_a_stream_and_labels_are_learned_from(good, mixed, learned):
    X = [*good, *mixed[3:]]
    y = [1] * 6 + [-1] * 3
    for source in (X, iter(X)):
        model = padim().fit(source, y)
        np.testing.assert_array_equal(model.score(mixed), learned.score(mixed))


def test_nothing_to_learn_is_refused(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    for channels in ("random", "pca"):
        with pytest.raises(ImageError, match="at least one usable"):
            padim(on_error="skip", channels=channels).fit(tmp_path)


def test_describe_tells_positions_features_and_size(learned):
    text = learned.describe()["Gaussians"]
    assert text.startswith("64 positions, 152 of 152 features (random), 0.")


@pytest.mark.parametrize(
    ("name", "value", "error", "fragment"),
    [
        ("channels", "some", ValueError, "one of 'random', 'all', 'pca'"),
        ("n_channels", 0, ValueError, "at least 1; got 0"),
        ("n_channels", 2.5, TypeError, "integer"),
        ("regularization", 0, ValueError, "a finite number above 0; got 0"),
        ("regularization", -0.1, ValueError, "above 0"),
        ("regularization", np.inf, ValueError, "finite"),
        ("regularization", np.nan, ValueError, "finite"),
        ("regularization", "0.01", TypeError, "a finite number above 0"),
        ("regularization", True, TypeError, "a finite number above 0"),
        ("aggregation", "reweighted", ValueError, "'max', 'map_max', 'top_mean'"),
        ("top_ratio", 0.0, ValueError, r"\(0, 1\]"),
        ("embedding", "sum", ValueError, "one of 'concat', 'paper', 'nearest'"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name, value, error, fragment, good):
    with pytest.raises(error, match=f"{name} of PaDiM must be.*{fragment}"):
        padim(**{name: value}).fit(good)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", "all"),
        ("n_channels", 9),
        ("regularization", 1.0),
        ("embedding", "nearest"),
        ("image_size", 32),
    ],
)
def test_what_was_fitted_with_cannot_change_before_scoring(name, value, good):
    model = padim().fit(good)
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name} of PaDiM must be .*fitted"):
        model.score(good)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"channels": "all", "image_size": (48, 64)},
        {"channels": "pca", "n_channels": np.int64(4)},
        {"n_channels": 12, "regularization": np.float32(0.5)},
        {"embedding": "paper", "n_channels": 9, "stages": (1, 3)},
        {"weights": None, "random_state": None},
    ],
)
@pytest.mark.parametrize("n_images", [2, 70])
def test_a_model_comes_back_as_it_was_saved(parameters, n_images, good, tmp_path):
    images = np.random.default_rng(0).random((n_images + 2, 32, 32), dtype=np.float32)
    model = padim(**{"image_size": 32} | parameters).fit(images[2:])
    model.calibrate(images[:2], false_positive_rate=0.4)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert type(loaded) is PaDiM
    assert loaded.get_params() == model.get_params()
    assert loaded.describe() == model.describe()
    np.testing.assert_array_equal(loaded.anomaly_maps(good), model.anomaly_maps(good))
    assert loaded.predict(good).tolist() == model.predict(good).tolist()
    content = (tmp_path / "model.adlib").read_bytes()
    loaded.save(tmp_path / "model.adlib")
    assert (tmp_path / "model.adlib").read_bytes() == content


DAMAGE = {
    "no mean": lambda t: t.pop("gaussian.mean"),
    "a mean of another grid": lambda t: t.update(
        {"gaussian.mean": t["gaussian.mean"][1:]}
    ),
    "factors of another size": lambda t: t.update(
        {"gaussian.factors": t["gaussian.factors"][:, 1:]}
    ),
    "factors in float64": lambda t: t.update(
        {"gaussian.factors": t["gaussian.factors"].astype(np.float64)}
    ),
    "half a column": lambda t: t.update(
        {"gaussian.spread": t["gaussian.spread"][:, 1:]}
    ),
    "no spread": lambda t: t.pop("gaussian.spread"),
    "no channels": lambda t: t.pop("channels"),
    "channels twice": lambda t: t.update({"channels": t["channels"] // 2}),
    "channels that are not there": lambda t: t.update({"channels": t["channels"] + 1}),
    "channels below zero": lambda t: t.update({"channels": t["channels"] - 1}),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_fields_that_no_model_has_are_refused(damage, learned, tmp_path):
    path = tmp_path / "model.adlib"
    learned.save(path)
    content = read_model(path)
    DAMAGE[damage](content.tensors)
    write_model(path, content)
    with pytest.raises(ModelFileError, match="The model file is damaged"):
        load(path)
