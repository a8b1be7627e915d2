"""Scores with fewer features are those of a search that a few lines do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adlib import PatchCore
from adlib.metrics import compute_auroc
from adlib.study._predictions import paths_of
from adlib.study._reduction import fewer_dimensions, reduce_features, without_a_stage
from tests.study.conftest import value

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(split):
    model = PatchCore(image_size=64, coreset=0.2, progress=False, device="cpu")
    return model.fit(paths_of(split.train))


def expected(model, samples, reduce):
    """Return AUROC by all distances between reduced patches and a reduced bank."""
    bank = np.asarray(reduce(model.memory_bank_.embeddings), np.float64)
    scores = []
    for one in model.embeddings(paths_of(samples)):
        patches = np.asarray(reduce(one.patches.reshape(-1, one.patches.shape[2])))
        gaps = patches[:, None].astype(np.float64) - bank
        nearest = np.sqrt((gaps**2).sum(axis=2).min(axis=1))
        n_top = int(np.ceil(model.top_ratio * len(nearest)))
        scores.append(np.sort(nearest)[-n_top:].mean())
    return compute_auroc([sample.label for sample in samples], scores)


def test_each_way_gives_what_its_features_give(model, split):
    choices = {
        **without_a_stage(model),
        **fewer_dimensions(model, random_state=0),
        "as they are": np.asarray,
    }
    found = reduce_features(model, split.test, choices, random_state=0)
    settings = set(found["setting"])
    assert {
        "without stride 8",
        "without stride 16",
        "pca 8",
        "projection 64",
    } <= settings
    for setting, reduce in choices.items():
        auroc = expected(model, split.test, reduce)
        keys = {"setting": setting, "versus": ""}
        assert value(found, "auroc", **keys) == pytest.approx(auroc), setting
    every = value(found, "auroc", setting="all features")
    labels = [sample.label for sample in split.test]
    assert every == compute_auroc(labels, model.score(paths_of(split.test)))
    keys = {"setting": "as they are", "versus": "all features"}
    assert value(found, "auroc", **keys) == 0.0
    assert value(found, "n_features", setting="pca 16") == 16


def test_a_stage_left_out_leaves_the_features_of_the_others(model):
    channels = [stage.channels for stage in model.backbone_.stages]
    patches = np.arange(2 * sum(channels), dtype=np.float32).reshape(2, -1)
    first, second = without_a_stage(model).values()
    np.testing.assert_array_equal(first(patches), patches[:, channels[0] :])
    np.testing.assert_array_equal(second(patches), patches[:, : channels[0]])


def test_a_skipped_image_counts_nowhere(model, split, tmp_path):
    broken = replace(split.test[0], image_path=tmp_path / "gone.png")
    lenient = PatchCore(**{**model.get_params(), "on_error": "skip"})
    lenient.__dict__.update({k: v for k, v in vars(model).items() if k.endswith("_")})
    found = reduce_features(lenient, [broken, *split.test], {}, random_state=0)
    whole = reduce_features(model, split.test, {}, random_state=0)
    of = {"setting": "all features"}
    assert value(found, "auroc", **of) == value(whole, "auroc", **of)
    assert value(found, "auroc", "n", **of) == len(split.test)
