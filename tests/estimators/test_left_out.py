"""Scores of left-out images are those of learning again from the others."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib.estimators._gaussian import left_out_squared
from adlib.neighbors import MemoryBank
from tests import reference


@pytest.mark.parametrize(("n_images", "n_features"), [(3, 2), (12, 5), (9, 20)])
def test_left_out_gaussians_are_those_of_the_others(n_images, n_features):
    rng = np.random.default_rng(n_images)
    points = rng.normal(size=(n_images, 1, n_features)) @ rng.normal(
        size=(n_features, n_features)
    )
    regularization = 0.1
    known = reference.mahalanobis(points, points, regularization)
    others = []
    for i in range(n_images):
        scaled = regularization * (n_images - 1) / (n_images - 2)
        rest = np.delete(points, i, axis=0)
        others.append(reference.mahalanobis(rest, points[i : i + 1], scaled)[0])
    found = left_out_squared(known**2, n_images)
    np.testing.assert_allclose(np.sqrt(found), others, rtol=1e-5)


def test_rounding_up_to_the_largest_distance_there_is_stays_finite():
    largest = np.float32(9**2 / 10)
    found = left_out_squared(np.array([largest, largest * 1.01], np.float32), 10)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("aggregation", ["max", "top_mean", "reweighted"])
def test_left_out_scores_of_patchcore_are_those_of_a_bank_without_the_image(
    aggregation, good
):
    model = PatchCore(
        image_size=64, coreset=0.3, aggregation=aggregation, progress=False
    ).fit(good)
    bank = model.memory_bank_
    expected = []
    for i in range(len(good)):
        others = bank.origins[:, 0] != i
        model.memory_bank_ = MemoryBank(
            bank.embeddings[others], origins=bank.origins[others]
        )
        expected.append(model.score(good[i : i + 1])[0])
    model.memory_bank_ = bank
    np.testing.assert_array_equal(model.leave_one_out_scores(good), expected)


@pytest.mark.slow
def test_left_out_padim_is_close_to_learning_again(good):
    from adlib import PaDiM

    def padim():
        return PaDiM(image_size=64, progress=False)

    expected = [
        padim().fit(np.delete(good, i, axis=0)).score(good[i : i + 1])[0]
        for i in range(len(good))
    ]
    # The regulariser of the others is taken 5 / 4 times as large: see left_out_squared.
    scores = padim().fit(good).leave_one_out_scores(good)
    np.testing.assert_allclose(scores, expected, rtol=0.15)
    assert np.corrcoef(scores, expected)[0, 1] > 0.99


@pytest.mark.parametrize("coreset", [5, 9])
def test_left_out_scores_depend_on_no_other_image_of_the_batch(coreset, good):
    """Of a small bank, another b of equation 7 is left for each image."""
    chosen = {"image_size": 64, "coreset": coreset, "aggregation": "reweighted"}
    model = PatchCore(**chosen, batch_size=1, progress=False).fit(good)
    own = np.bincount(model.memory_bank_.origins[:, 0], minlength=len(good))
    assert len(set(own.tolist())) > 1
    alone = model.leave_one_out_scores(good)
    model.batch_size = len(good)
    np.testing.assert_array_equal(model.leave_one_out_scores(good), alone)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"coreset": 1}, "coreset of PatchCore must be so large that 1 or more"),
        (
            {"coreset": 2, "aggregation": "reweighted"},
            "so large that 2 or more entries are left .*; got 2, a memory bank of 2",
        ),
    ],
)
def test_a_bank_with_too_few_entries_of_others_is_refused(chosen, message, good):
    model = PatchCore(image_size=64, progress=False, **chosen)
    with pytest.raises(ValueError, match=message):
        model.fit(good).leave_one_out_scores(good)
    with pytest.raises(ValueError, match=message):
        PatchCore(image_size=64, progress=False, false_positive_rate=0.3, **chosen).fit(
            good
        )


@pytest.mark.parametrize("kind", [PatchCore, PaDiM])
@pytest.mark.parametrize("chosen", [{"false_positive_rate": 0.4}, {"zones": (2, 2)}])
@pytest.mark.parametrize("n_images", [1, 2])
def test_too_few_usable_images_are_refused_of_lists_too(kind, chosen, n_images, good):
    unusable = np.full((64, 64), np.nan, np.float32)
    given = {"image_size": 64, "progress": False, "on_error": "skip"} | chosen
    model = kind(**given)
    message = f"X of {kind.__name__}.fit must be at least 3 images.* got {n_images}"
    with pytest.raises(ValueError, match=message):
        model.fit([*good[:n_images], unusable, unusable])
    assert not hasattr(model, "backbone_")
