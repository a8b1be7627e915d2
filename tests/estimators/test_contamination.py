"""Patches that no other image vouches for stay out of the memory bank."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PatchCore, load
from adlib.estimators import _contamination
from adlib.estimators._contamination import (
    compact,
    distances_to_others,
    without_farthest,
)
from tests.conftest import scratched, texture


def small(**parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen)


def kept_of(points, images, share, known=None, seed=0):
    settings = small(random_state=seed, device="cpu")._check_parameters()
    distances = distances_to_others(points, images, known, settings, "test")
    return without_farthest(distances, share)


def kept_one_by_one(points, images, share, known=()):
    """Measure every pair of patches of different images."""
    distances = []
    for point, image in zip(points, images, strict=True):
        others = [*points[images != image], *known]
        distances.append(min(np.linalg.norm(point - other) for other in others))
    n_left = len(points) - int(share * len(points))
    return np.sort(np.argsort(distances, kind="stable")[:n_left])


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def dirty():
    """Nine good images and a scratched one, number 9."""
    return np.stack([*(texture(seed) for seed in range(9)), scratched(20)])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.49])
def test_the_farthest_from_other_images_are_left_out(share, points):
    images = np.repeat(np.arange(6), 10)
    kept = kept_of(points, images, share)
    np.testing.assert_array_equal(kept, kept_one_by_one(points, images, share))
    known = points[:7] + 0.1
    kept = kept_of(points, images, share, known)
    np.testing.assert_array_equal(kept, kept_one_by_one(points, images, share, known))


def test_of_equal_distances_the_later_are_left_out():
    points = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)  # all as far
    np.testing.assert_array_equal(kept_of(points, np.repeat([0, 1], 5), 0.3), range(7))


def test_of_many_points_a_part_is_compared_with(points, monkeypatch):
    monkeypatch.setattr(_contamination, "MOST_COMPARED", 20)
    images = np.repeat(np.arange(6), 10)
    drawn = np.random.default_rng(3).choice(60, 20, replace=False)
    distances = [
        min(np.linalg.norm(points[i] - points[j]) for j in drawn if images[j] != image)
        for i, image in enumerate(images)
    ]
    wanted = np.sort(np.argsort(distances, kind="stable")[:45])
    np.testing.assert_array_equal(kept_of(points, images, 0.25, seed=3), wanted)


def test_rows_are_kept_in_place(points, monkeypatch):
    monkeypatch.setattr(_contamination, "AT_ONCE", 7)
    kept = np.flatnonzero(np.random.default_rng(1).random(60) < 0.6)
    rows = points.copy()
    left = compact(rows, kept)
    np.testing.assert_array_equal(left, points[kept])
    assert np.shares_memory(left, rows)


def test_a_scratch_among_good_images_stays_out_of_the_bank(dirty):
    plain, clean = small().fit(dirty), small(contamination=0.05).fit(dirty)
    entries = [
        np.sum(model.memory_bank_.origins[:, 0] == 9) for model in (plain, clean)
    ]
    assert entries[1] < 0.7 * entries[0]
    assert clean.score(dirty[9:]) > 1.6 * plain.score(dirty[9:])
    assert clean.score(dirty[9:]) > 0.8 * small().fit(dirty[:9]).score(dirty[9:])
    assert len(clean.memory_bank_) == len(plain.memory_bank_) == 128
    assert clean.n_patches_ == plain.n_patches_ == 640
    assert "without the 5 % of patches" in clean.describe()["memory bank"]


def test_patches_outside_of_a_region_vouch_for_none(dirty):
    region = np.zeros((64, 64), np.bool_)
    region[16:48] = True
    model = small(contamination=0.1, region=region, coreset=1.0).fit(dirty)
    assert model.n_patches_ == 10 * 32
    assert len(model.memory_bank_) == 10 * 32 - 32
    patches = np.stack([one.patches[2:6] for one in model.embeddings(dirty)])
    rows = patches.reshape(320, -1)
    wanted = kept_one_by_one(rows, np.repeat(np.arange(10), 32), 0.1)
    np.testing.assert_array_equal(model.memory_bank_.embeddings, rows[wanted])
    image, row, column = model.memory_bank_.origins.T
    np.testing.assert_array_equal(image * 32 + (row - 2) * 8 + column, wanted)


def test_batches_and_saving_change_nothing(dirty, tmp_path):
    model = small(contamination=0.05).fit(dirty)
    again = small(contamination=0.05, batch_size=3, n_workers=2).fit(dirty)
    np.testing.assert_array_equal(
        again.memory_bank_.embeddings, model.memory_bank_.embeddings
    )
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert loaded.contamination == 0.05
    np.testing.assert_array_equal(loaded.score(dirty), model.score(dirty))


def test_a_bank_of_all_that_is_left_is_smaller(dirty):
    model = small(contamination=0.1, coreset=1.0).fit(dirty)
    assert len(model.memory_bank_) == 576


def test_further_images_are_vouched_for_by_the_bank(dirty):
    model = small(contamination=0.1).fit(dirty[:9])
    known = model.memory_bank_
    model.partial_fit(dirty[9:])
    added = model.memory_bank_.origins[len(known) :]
    assert len(added) == int(0.2 * 64)
    distances = known.kneighbors(
        next(iter(model.embeddings(dirty[9:]))).patches.reshape(64, -1)
    ).distances[:, 0]
    left_out = np.argsort(distances, kind="stable")[-6:]
    assert not np.isin(added[:, 1] * 8 + added[:, 2], left_out).any()


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.0, ValueError, r"in \(0, 1\); got 0.0"),
        (0.5, ValueError, r"contamination of PatchCore must be None or .*\(0, 0.5\)"),
        ("some", TypeError, "contamination of PatchCore must be a number"),
        (True, TypeError, "contamination of PatchCore"),
    ],
)
def test_wrong_shares_are_refused(value, error, text, good):
    with pytest.raises(error, match=text):
        small(contamination=value).fit(good)


def test_a_single_image_is_refused(good):
    with pytest.raises(ValueError, match="for a single image"):
        small(contamination=0.1).fit(good[:1])
