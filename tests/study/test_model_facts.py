"""What results note of a fitted model is what the model is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib.study import Config, fit_on_split, new_padim
from adlib.study._model_facts import model_facts


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)


def test_a_patchcore_is_noted(images):
    model = PatchCore(image_size=(64, 32), coreset=0.25, stages=(2,)).fit(images)
    facts = model_facts(model)
    assert facts["stages"] == [{"stride": 8, "channels": 40}]
    assert facts["grid"] == [8, 4]
    assert (facts["n_bank"], facts["n_patches"]) == (32, 128)
    assert (facts["n_features"], facts["n_embedded"]) == (40, 40)
    parameters = facts["parameters"]
    assert parameters["image_size"] == [64, 32]
    assert (parameters["aggregation"], parameters["top_ratio"]) == ("top_mean", 0.01)
    assert "device" not in parameters
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize(("n_channels", "kept"), [(160, 152), (20, 20)])
def test_a_padim_notes_the_features_that_it_keeps(images, n_channels, kept):
    facts = model_facts(PaDiM(image_size=64, n_channels=n_channels).fit(images))
    assert [stage["stride"] for stage in facts["stages"]] == [8, 16]
    assert (facts["n_features"], facts["n_embedded"]) == (kept, 152)
    assert facts["parameters"]["n_channels"] == n_channels


def test_fitting_notes_what_the_threshold_was_set_on(split):
    config = Config.from_dict({"backbone": {"image_size": 64}})
    facts = fit_on_split(new_padim(config), split).facts
    expected = {"rule": "best F1", "n_normal": 6, "n_anomalous": 6}
    assert facts["threshold"] == expected
    assert facts["n_training"] == 8
