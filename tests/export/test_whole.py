"""The graph's torch twin scores as the detector does, with every option."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from adlib import PaDiM, PatchCore
from adlib.export import _whole
from adlib.export._whole import Whole
from tests.conftest import quick
from tests.models.make import SHARED

RNG = np.random.default_rng(0)
GOOD = RNG.integers(0, 256, (5, 40, 48, 3), np.uint8)
SIZE = (32, 48)
NETWORK = {**SHARED, "image_size": SIZE}
DETECTORS = {
    **{
        f"{embedding}-{aggregation}": PatchCore(
            **NETWORK, embedding=embedding, aggregation=aggregation, coreset=0.3
        )
        for embedding in ("concat", "paper", "nearest")
        for aggregation in ("top_mean", "max", "reweighted")
    },
    "two-entries": PatchCore(**NETWORK, coreset=2, aggregation="reweighted"),
    "whole-bank": PatchCore(**NETWORK, coreset=1.0),
    **{
        f"padim-{channels}-{aggregation}": PaDiM(
            **NETWORK, channels=channels, aggregation=aggregation, n_channels=n_channels
        )
        for channels, n_channels in (("random", 3), ("all", 3), ("pca", 12))
        for aggregation in ("max", "map_max", "top_mean")
    },
}
OTHERS = [  # of other sizes, with and without colour
    RNG.integers(0, 256, shape, np.uint8)
    for shape in [
        (40, 48, 3), (90, 31, 3), (12, 200, 3), (32, 48, 3), (50, 60), (33, 70, 4),
        (1, 40, 3), (40, 1, 3), (1, 1),
    ]
]  # fmt: skip


def near(found, wanted, relative=2e-5):
    """Assert that values agree, relative to the highest, which is 0 in the bank."""
    least = relative * np.abs(wanted).max() + 2e-6  # other scores are above 0.1
    np.testing.assert_allclose(found, wanted, rtol=relative, atol=least)


def between(scores):
    """A threshold that no score ties with."""
    return float(np.sort(scores)[3:5].mean(dtype=np.float64))


@cache
def fitted(name):
    return DETECTORS[name].fit(GOOD)


def outputs(detector, images, map_size=None):
    """What the twin says of images, by name."""
    whole = Whole(detector, map_size).eval()
    with torch.inference_mode():
        found = whole(torch.from_numpy(np.ascontiguousarray(images)))
    return dict(zip(whole.outputs, [value.numpy() for value in found], strict=True))


def agrees(detector, images, map_size=None):
    """Assert that the twin says of each image what the detector says."""
    for image in images:
        plane = image if image.ndim == 3 else image[..., None]
        found = outputs(detector, plane[None], map_size)
        (wanted,) = detector.inspect([image])
        near(found["score"][0], wanted.score)
        if map_size is None:
            near(found["anomaly_map"][0], wanted.map, 1e-4)
        assert found.get("verdict", [wanted.verdict])[0] == wanted.verdict


QUICK = (
    "concat-top_mean", "nearest-reweighted", "two-entries", "whole-bank",
    "padim-random-map_max", "padim-pca-top_mean",
)  # fmt: skip


@pytest.mark.parametrize("name", quick(DETECTORS, *QUICK))
def test_every_option_scores_and_maps_as_the_detector_does(name):
    agrees(fitted(name), [*OTHERS, *GOOD[:1]])


@pytest.mark.parametrize("tile", [1, 7, 33, 64, 4096])
@pytest.mark.parametrize("aggregation", ["top_mean", "reweighted"])
def test_tiles_change_nothing_whether_full_or_not(monkeypatch, tile, aggregation):
    monkeypatch.setattr(_whole, "TILE", tile)
    shape = {**NETWORK, "aggregation": aggregation, "coreset": 100}
    agrees(PatchCore(**shape).fit(GOOD), OTHERS[:3])


def test_a_patch_that_is_in_the_bank_scores_next_to_0():
    scores = outputs(fitted("whole-bank"), GOOD)["patch_scores"]
    far = outputs(fitted("whole-bank"), 255 - GOOD)["patch_scores"]
    assert scores.max() < 1e-5 * far.max()


def test_duplicates_in_the_bank_change_nothing():
    twice = np.concatenate([GOOD[:2], GOOD[:2]])
    detector = PatchCore(**NETWORK, coreset=1.0, aggregation="reweighted").fit(twice)
    agrees(detector, OTHERS[:4])


@pytest.mark.parametrize("n_images", [2, 300])
def test_padim_of_few_and_of_many_images(n_images):
    many = np.random.default_rng(1).integers(0, 256, (n_images, 32, 48), np.uint8)
    detector = PaDiM(**NETWORK, n_channels=20).fit(many)
    assert (detector.gaussian_.spread is None) == (n_images == 300)
    agrees(detector, OTHERS[:4])


@pytest.mark.parametrize("n_images", [1, 7])
def test_a_batch_scores_as_its_images_do(n_images):
    detector = fitted("concat-reweighted")
    batch = np.random.default_rng(3).integers(0, 256, (n_images, 50, 41, 3), np.uint8)
    found = outputs(detector, batch)
    near(found["score"], detector.score(batch))
    near(found["anomaly_map"], detector.anomaly_maps(batch), 1e-4)


@pytest.mark.parametrize("size", ["original", (20, 70), (16, 16)])
def test_maps_have_the_size_asked_for(size):
    detector, image = fitted("paper-max"), OTHERS[1]
    found = outputs(detector, image[None], size)["anomaly_map"]
    wanted = np.stack(detector.anomaly_maps(image[None], size=size))
    near(found, wanted, 1e-4)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_score_at_the_threshold_gets_the_same_verdict(step):
    detector = fitted("concat-max")
    score = outputs(detector, GOOD[:1] // 2)["score"][0]
    # Below, at and above the score by a step that float32 does not hold.
    detector.threshold_ = float(score) * (1 + step * 1e-12)
    verdict = outputs(detector, GOOD[:1] // 2)["verdict"][0]
    assert verdict == (1 if float(score) <= detector.threshold_ else -1)


def test_the_threshold_is_the_detectors_and_may_be_missing():
    detector = fitted("padim-random-max")
    assert "verdict" not in outputs(detector, GOOD)
    detector.threshold_ = between(detector.score(OTHERS))
    agrees(detector, OTHERS)
    detector.threshold_ = None
