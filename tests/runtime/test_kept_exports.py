"""Exported files of earlier versions load and score as they did (tests/models)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adlib import runtime
from tests.models.make import EXPORTED, bytes_of_images

FOLDER = Path(__file__).parents[1] / "models"
VERSIONS = sorted(
    path.stem.removeprefix("scores-") for path in FOLDER.glob("scores-*.json")
)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", list(EXPORTED))
@pytest.mark.parametrize("version", VERSIONS)
def test_an_export_of_an_earlier_version_scores_as_it_did(name, version, engine):
    pytest.importorskip(engine)
    wanted = json.loads((FOLDER / f"scores-{version}.json").read_text())[name]
    model = runtime.load(FOLDER / f"{name}-{version}.onnx", runtime=engine)
    assert model.threshold_ == wanted["threshold"]
    found = list(model.inspect(bytes_of_images()))
    scores = [one.score for one in found]
    np.testing.assert_allclose(scores, wanted["exported_scores"], rtol=1e-4)
    assert [one.verdict for one in found] == wanted["exported_verdicts"]
    assert [list(one.worst_pixel) for one in found] == wanted["exported_pixels"]
    np.testing.assert_allclose(found[0].map[15], wanted["exported_map"], rtol=1e-3)


def test_exports_of_this_version_are_kept():
    assert VERSIONS
    assert EXPORTED
