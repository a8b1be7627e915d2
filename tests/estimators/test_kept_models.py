"""Model files of earlier versions load and score as they did (tests/models)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adlib import load
from tests.models.make import MODELS, images

FOLDER = Path(__file__).parents[1] / "models"
VERSIONS = sorted(
    path.stem.removeprefix("scores-") for path in FOLDER.glob("scores-*.json")
)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_of_an_earlier_version_scores_as_it_did(name, version):
    expected = json.loads((FOLDER / f"scores-{version}.json").read_text())[name]
    model = load(FOLDER / f"{name}-{version}.adlib", device="cpu")
    # Other versions of torch round differently.
    scores = model.score(images(4, 2))
    np.testing.assert_allclose(scores, expected["scores"], rtol=1e-3)
    assert model.threshold_ == expected["threshold"]
    middle = model.anomaly_maps(images(1, 2))[0, 15]
    np.testing.assert_allclose(middle, expected["map"], rtol=1e-3)


def test_files_of_this_version_are_kept():
    assert VERSIONS
