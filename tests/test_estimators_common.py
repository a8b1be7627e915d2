"""One contract over every estimator: what a caller may rely on."""

from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline
from torch.utils.data import DataLoader, TensorDataset

import adlib
from adlib import PaDiM, PatchCore
from adlib.anomalib import AnomalibPadim, AnomalibPatchcore
from adlib.estimators import auroc_scorer
from adlib.exceptions import ImageError
from tests.conftest import quick

ESTIMATORS = {
    "patchcore": PatchCore(image_size=64, coreset=0.2, progress=False),
    "patchcore-paper": PatchCore(
        image_size=(48, 64),
        embedding="paper",
        coreset=20,
        projection=16,
        aggregation="max",
        progress=False,
    ),
    "patchcore-reweighted": PatchCore(
        image_size=64,
        stages=(1, 2, 3),
        coreset=0.1,
        aggregation="reweighted",
        batch_size=4,
        random_state=7,
        progress=False,
    ),
    "padim": PaDiM(image_size=64, progress=False),
    "padim-paper": PaDiM(
        image_size=(48, 64),
        stages=(1, 2, 3),
        embedding="nearest",
        n_channels=20,
        regularization=0.01,
        aggregation="map_max",
        random_state=3,
        progress=False,
    ),
    "padim-few-channels": PaDiM(
        image_size=64,
        channels="pca",
        n_channels=6,
        aggregation="top_mean",
        top_ratio=0.05,
        batch_size=5,
        progress=False,
    ),
}
if find_spec("anomalib"):  # an extra that the other estimators do without
    ESTIMATORS |= {
        "anomalib-padim": AnomalibPadim(image_size=64, progress=False),
        "anomalib-padim-few": AnomalibPadim(
            image_size=(48, 64),
            stages=(2, 3),
            n_features=20,
            batch_size=4,
            random_state=3,
            progress=False,
        ),
        "anomalib-patchcore": AnomalibPatchcore(
            image_size=64, coreset=0.2, progress=False
        ),
        "anomalib-patchcore-maximum": AnomalibPatchcore(
            image_size=(48, 64),
            stages=(1, 2, 3),
            coreset=0.1,
            n_neighbors=1,
            batch_size=5,
            random_state=7,
            progress=False,
        ),
    }
METHODS = [
    "score",
    "anomaly_maps",
    "inspect",
    "calibrate",
    "decision_function",
    "score_samples",
    "predict",
]
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
# Each has two others of its kind among the quick tests, and embeddings as wide as the
# papers' take long.
SLOW = ("patchcore-paper", "padim-paper")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in ESTIMATORS
    ],
)
def estimator(request):
    """An unfitted estimator; tests fit clones of it."""
    return ESTIMATORS[request.param]


@pytest.fixture(scope="module")
def trained(estimator, good):
    """The estimator fitted on the good images; tests must not change it."""
    return clone(estimator).fit(good)


@pytest.fixture(scope="module")
def expected(trained, images):
    """Scores of all images."""
    return trained.score(images)


@pytest.fixture(scope="module")
def images(good, mixed):
    """Good and mixed images, (12, 64, 64) uint8."""
    return np.concatenate([good, mixed])


@pytest.fixture(scope="module")
def labelled(images):
    """A list of images, and labels +1 and -1."""
    return list(images), np.array([1] * 9 + [-1] * 3)


def save_all(images, folder):
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    return folder


def as_tensor(images):
    return torch.from_numpy(images)[:, None]


SOURCES = {
    "folder": save_all,
    "glob": lambda images, folder: str(save_all(images, folder) / "*.png"),
    "list of paths": lambda images, folder: sorted(save_all(images, folder).iterdir()),
    "float array": lambda images, folder: images / 255,
    "RGB array": lambda images, folder: np.repeat(images[..., None], 3, axis=3),
    "list of arrays": lambda images, folder: list(images),
    "tensor": lambda images, folder: as_tensor(images),
    "PIL images": lambda images, folder: [Image.fromarray(image) for image in images],
    "DataLoader": lambda images, folder: DataLoader(
        TensorDataset(as_tensor(images)), batch_size=5
    ),
    "generator": lambda images, folder: (image for image in images),
}


def test_the_constructor_only_stores(estimator):
    kind = type(estimator)
    given = {name: object() for name in inspect.signature(kind).parameters}
    stored = vars(kind(**given))
    assert stored.keys() == given.keys()
    assert all(stored[name] is given[name] for name in given)


def test_every_parameter_is_keyword_only(estimator):
    parameters = inspect.signature(type(estimator)).parameters.values()
    assert {parameter.kind for parameter in parameters} == {
        inspect.Parameter.KEYWORD_ONLY
    }


def test_clone_keeps_parameters_and_forgets_what_was_learned(trained):
    copy = clone(trained)
    assert copy.get_params() == trained.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


def test_set_params_changes_what_get_params_gives(estimator):
    copy = clone(estimator)
    assert copy.set_params(batch_size=3, device="cpu") is copy
    assert copy.get_params() == {
        **estimator.get_params(),
        "batch_size": 3,
        "device": "cpu",
    }
    with pytest.raises(ValueError, match="no_such"):
        copy.set_params(no_such=1)


def test_fit_and_calibrate_return_the_estimator(estimator, labelled):
    model = clone(estimator)
    X, y = labelled
    assert model.fit(X[:6]) is model
    assert model.calibrate(X[6:], y[6:]) is model


def test_fitting_again_forgets_the_first_fit(estimator, good, labelled, expected):
    X, y = labelled
    model = clone(estimator).fit(X[:5]).calibrate(X[6:], y[6:]).fit(good)
    assert model.threshold_ is model.pixel_threshold_ is model.calibration_ is None
    assert len(model.training_images_) == len(good)
    np.testing.assert_array_equal(model.score(np.stack(X)), expected)


def test_parameters_and_inputs_stay_untouched(estimator, good, others):
    X = good.copy()
    X.setflags(write=False)
    size = [64, 64]
    model = clone(estimator).set_params(image_size=size)
    before = {name: repr(value) for name, value in model.get_params().items()}
    model.fit(X).calibrate(others, false_positive_rate=0.5)
    model.anomaly_maps(X)
    model.predict(X)
    assert {name: repr(value) for name, value in model.get_params().items()} == before
    assert model.image_size is size
    np.testing.assert_array_equal(X, good)


def test_scores_and_maps_have_the_promised_shapes_and_types(trained, images):
    scores, maps = trained.score(images), trained.anomaly_maps(images)
    size = trained.image_size
    height_width = (size, size) if isinstance(size, int) else size
    assert (scores.shape, scores.dtype) == ((12,), np.float32)
    assert (maps.shape, maps.dtype) == ((12, *height_width), np.float32)
    assert np.isfinite(scores).all()
    assert np.isfinite(maps).all()


def test_scratched_images_score_above_all_good_ones(expected):
    assert expected[-3:].min() > expected[:-3].max()


def test_verdicts_follow_the_sign_of_the_decision_function(
    estimator, labelled, expected
):
    X, y = labelled
    model = clone(estimator).fit(X[:6]).calibrate(X[6:], y[6:])
    decision = model.decision_function(X)
    np.testing.assert_array_equal(decision, model.threshold_ - expected.astype(float))
    np.testing.assert_array_equal(model.predict(X), y)
    np.testing.assert_array_equal(np.where(decision < 0, -1, 1), y)


def test_a_pipeline_fits_scores_and_predicts(estimator, good, others, images, expected):
    pipeline = Pipeline([("detector", clone(estimator))]).fit(good)
    np.testing.assert_array_equal(pipeline.score(images), expected)
    pipeline.named_steps["detector"].calibrate(others, false_positive_rate=0.2)
    assert set(pipeline.predict(images)) == {1, -1}


@pytest.mark.slow
def test_cross_validation_ranks_labelled_images(estimator, labelled):
    X, y = labelled
    scoring = {"named": "roc_auc", "ours": auroc_scorer}
    areas = cross_validate(
        estimator, X, y, cv=FOLDS, scoring=scoring, error_score="raise"
    )
    for name in scoring:
        assert areas[f"test_{name}"].shape == (3,)
        assert areas[f"test_{name}"].min() > 0.9


def test_the_pixel_threshold_leaves_as_many_good_maps_without_colour(
    trained, others, mixed
):
    model = copy.copy(trained).calibrate(others, false_positive_rate=0.3)
    peaks = model.anomaly_maps(others).max(axis=(1, 2))
    assert model.pixel_threshold_ == np.sort(peaks)[-2]  # 0.3 * 7 allows 2 above
    calibration = model.calibration_
    assert calibration.kind == "conformal"
    assert (calibration.n_normal, calibration.n_anomalous) == (6, 0)
    model.calibrate(mixed, [1, 1, 1, -1, -1, -1])
    peaks = model.anomaly_maps(mixed[:3]).max(axis=(1, 2))
    assert model.pixel_threshold_ == peaks.max()
    assert model.calibration_.kind == "F1"


def test_score_samples_is_higher_for_normal_images(trained, images, expected):
    found = trained.score_samples(images)
    np.testing.assert_array_equal(found, -expected.astype(np.float64))


@pytest.mark.slow
def test_grid_search_tunes_the_coreset(labelled):
    X, y = labelled
    estimator = ESTIMATORS["patchcore"]
    search = GridSearchCV(
        estimator,
        {"coreset": [2, 0.3]},
        cv=FOLDS,
        scoring="roc_auc",
        error_score="raise",
    ).fit(X, y)
    assert search.best_estimator_.coreset == search.best_params_["coreset"]
    assert len(search.best_estimator_.training_images_) == 9
    assert estimator.coreset == 0.2


@pytest.mark.parametrize("method", METHODS)
def test_methods_before_fit_raise_not_fitted(estimator, good, method):
    with pytest.raises(NotFittedError, match="Call fit with images of good parts"):
        getattr(clone(estimator), method)(good)


def test_describe_and_save_before_fit_raise_not_fitted(estimator, tmp_path):
    with pytest.raises(NotFittedError, match="Call fit"):
        clone(estimator).describe()
    with pytest.raises(NotFittedError, match="Call fit"):
        clone(estimator).save(tmp_path / "model.adlib")
    assert not list(tmp_path.iterdir())


def test_predict_before_calibrate_raises_not_fitted(trained, good):
    with pytest.raises(NotFittedError, match="Call calibrate"):
        trained.predict(good)


@pytest.mark.parametrize("kind", list(SOURCES))
def test_every_source_gives_the_same_scores(kind, trained, images, expected, tmp_path):
    source = SOURCES[kind](images, tmp_path / "images")
    np.testing.assert_array_equal(trained.score(source), expected)


@pytest.fixture(scope="module")
def of_an_array(good, images):
    """What a model learned from an array, and its scores."""
    model = clone(ESTIMATORS["patchcore"]).fit(good)
    return model.training_digests_, model.score(images)


@pytest.mark.parametrize("kind", list(SOURCES))
def test_every_source_gives_the_same_model(kind, good, images, of_an_array, tmp_path):
    source = SOURCES[kind](good, tmp_path / "good")
    model = clone(ESTIMATORS["patchcore"]).fit(source)
    digests, expected = of_an_array
    np.testing.assert_array_equal(model.score(images), expected)
    assert model.training_digests_ == digests


@pytest.mark.parametrize("batch_size", quick([1, 7, 32], 7))
def test_batches_do_not_matter(batch_size, estimator, good, images, expected, trained):
    model = clone(estimator).set_params(batch_size=batch_size).fit(good)
    np.testing.assert_array_equal(model.score(images), expected)
    np.testing.assert_array_equal(
        model.anomaly_maps(images), trained.anomaly_maps(images)
    )


def test_the_order_of_images_does_not_matter(trained, images, expected):
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(trained.score(images[order]), expected[order])


@pytest.mark.parametrize("n_workers", [1, 3])
def test_decoding_threads_do_not_matter(n_workers, estimator, good, images, expected):
    model = clone(estimator).set_params(n_workers=n_workers).fit(good)
    np.testing.assert_array_equal(model.score(images), expected)


@pytest.mark.parametrize("threads", ["1", "5"])
def test_computing_threads_do_not_matter(
    threads, estimator, good, images, expected, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    model = clone(estimator).fit(good)
    np.testing.assert_array_equal(model.score(images), expected)


def test_a_failed_refit_leaves_the_model_as_it_was(
    estimator, good, others, images, expected
):
    model = clone(estimator).fit(good).calibrate(others, false_positive_rate=0.2)
    before = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    with pytest.raises(ImageError, match="image 1"):
        model.fit([good[0], np.full((64, 64), np.nan)])
    with pytest.raises(ValueError, match="batch_size"):
        model.set_params(batch_size=0).fit(good[:2])
    model.set_params(batch_size=4)
    assert all(getattr(model, name) is value for name, value in before.items())
    np.testing.assert_array_equal(model.score(images), expected)


@pytest.mark.slow
def test_saved_models_score_the_same_in_a_new_process(good, others, images, tmp_path):
    scores = {}
    for name, estimator in ESTIMATORS.items():
        model = clone(estimator).fit(good).calibrate(others, false_positive_rate=0.2)
        model.save(tmp_path / f"{name}.adlib")
        scores[name] = [*model.score(images).tolist(), model.threshold_]
    np.save(tmp_path / "images.npy", images)
    code = """
import adlib, json, numpy, pathlib, sys
from tests.conftest import quick
folder = pathlib.Path(sys.argv[1])
images = numpy.load(folder / "images.npy")
models = {path.stem: adlib.load(path) for path in folder.glob("*.adlib")}
print(json.dumps(
    {k: [*m.score(images).tolist(), m.threshold_] for k, m in models.items()}
))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == scores


def test_a_loaded_model_has_the_parameters_of_the_saved_one(trained, good, tmp_path):
    trained.save(tmp_path / "model.adlib")
    loaded = adlib.load(tmp_path / "model.adlib")
    assert loaded.get_params() == trained.get_params()
    assert loaded.grid_ == trained.grid_
    assert loaded.threshold_ is None
    assert loaded.training_images_ == trained.training_images_
    assert loaded.describe() == trained.describe()
    refitted = clone(loaded).fit(good)
    np.testing.assert_array_equal(refitted.score(good), trained.score(good))


@pytest.mark.slow
def test_threads_that_score_at_once_agree_with_one(trained, images, expected):
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(trained.score, images) for _ in range(6)]
    for future in futures:
        np.testing.assert_array_equal(future.result(), expected)


@pytest.fixture(scope="module")
def own_threshold(estimator, good):
    """The estimator with a threshold from its training images, where it has one."""
    if "false_positive_rate" not in estimator.get_params():
        pytest.skip("the adapters of anomalib cannot leave images out")
    return clone(estimator).set_params(false_positive_rate=0.3).fit(good)


def test_fit_alone_gives_a_threshold(own_threshold, trained, good, mixed):
    left_out = own_threshold.left_out_scores_
    np.testing.assert_array_equal(trained.leave_one_out_scores(good), left_out)
    assert left_out.dtype == np.float32
    assert left_out.shape == (len(good),)
    assert own_threshold.threshold_ == np.sort(left_out)[-2]  # 0.3 * 7 allows 2 above
    np.testing.assert_array_equal(own_threshold.score(mixed), trained.score(mixed))
    assert set(own_threshold.predict(mixed)) <= {1, -1}
    assert own_threshold.calibration_.n_normal == len(good)
    assert own_threshold.pixel_threshold_ > 0
    assert trained.left_out_scores_ is None


def test_images_that_are_left_out_score_no_lower_than_those_that_are_known(
    own_threshold, good
):
    higher = own_threshold.left_out_scores_ - own_threshold.score(good)
    assert higher.min() >= 0  # an image without an entry in the bank scores the same
    assert higher.max() > 0


def test_fit_predict_judges_training_images_as_if_they_were_new(
    own_threshold, good, mixed
):
    model = clone(own_threshold)
    left_out = own_threshold.left_out_scores_ <= own_threshold.threshold_
    expected = np.where(left_out, 1, -1)
    np.testing.assert_array_equal(model.fit_predict(good), expected)
    both = np.concatenate([mixed[3:], good])
    found = model.fit_predict(both, [-1] * 3 + [1] * 6)
    np.testing.assert_array_equal(found[3:], expected)
    np.testing.assert_array_equal(found[:3], model.predict(mixed[3:]))


def test_batches_do_not_matter_for_what_is_left_out(own_threshold, good):
    other = clone(own_threshold).set_params(batch_size=4).fit(good)
    np.testing.assert_array_equal(
        other.left_out_scores_, own_threshold.left_out_scores_
    )


def test_what_was_left_out_is_saved(own_threshold, tmp_path):
    own_threshold.save(tmp_path / "model.adlib")
    loaded = adlib.load(tmp_path / "model.adlib")
    for name in ("threshold_", "pixel_threshold_", "calibration_", "training_digests_"):
        assert getattr(loaded, name) == getattr(own_threshold, name)
    assert loaded.describe() == own_threshold.describe()
    np.testing.assert_array_equal(
        loaded.left_out_scores_, own_threshold.left_out_scores_
    )


def test_labels_say_which_images_are_left_out(own_threshold, good, mixed):
    y = np.array([1, -1] * len(good))
    images = np.empty((2 * len(good), *good.shape[1:]), good.dtype)
    images[::2], images[1::2] = good, mixed[: len(good)]
    model = clone(own_threshold).fit(images, y)
    np.testing.assert_array_equal(
        model.left_out_scores_, own_threshold.left_out_scores_
    )
    np.testing.assert_array_equal(
        model.leave_one_out_scores(images, y), own_threshold.left_out_scores_
    )


def test_only_the_training_images_can_be_left_out(own_threshold, good, tmp_path):
    model = own_threshold
    with pytest.raises(ValueError, match=r"the 6 images that fit .* got 5 images"):
        model.leave_one_out_scores(good[:5])
    with pytest.raises(ValueError, match="the 6 images that fit learned from"):
        model.leave_one_out_scores(np.concatenate([good, good]))
    with pytest.raises(ValueError, match="'image 0' as number 0, other pixels"):
        model.leave_one_out_scores(255 - good)
    folder = save_all(good, tmp_path / "good")
    paths = sorted(folder.iterdir())
    model = clone(model).fit(paths)
    with pytest.raises(ValueError, match=r"same order; got .*05.png' as number 0"):
        model.leave_one_out_scores(paths[::-1])
    with pytest.raises(ValueError, match=r"read twice, .* Pass a list or a folder"):
        model.leave_one_out_scores(iter(paths))


@pytest.mark.parametrize(
    ("rate", "n_images", "error", "message"),
    [
        (0.1, 6, ValueError, r"must be at least 0.143 for 6 images; got 0.1"),
        (0.4, 2, ValueError, r"must be at least 3 images, to leave each one out"),
        (0.0, 6, ValueError, r"must be a number in \(0, 1\); got 0.0"),
        ("0.1", 6, TypeError, r"must be a number in \(0, 1\)"),
    ],
)
def test_a_rate_that_cannot_be_had_stops_fit_before_it_starts(
    own_threshold, good, rate, n_images, error, message
):
    model = clone(own_threshold).set_params(false_positive_rate=rate)
    with pytest.raises(error, match=message):
        model.fit(good[:n_images])
    assert not hasattr(model, "backbone_")
    with pytest.raises(ValueError, match="read twice"):
        model.set_params(false_positive_rate=0.4).fit(iter(good))
