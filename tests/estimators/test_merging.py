"""A memory bank of fixed size takes in streams, by merging and reducing."""

from __future__ import annotations

import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adlib
from adlib import PatchCore
from adlib.estimators import _merging
from adlib.estimators._merging import Held, drawn, union
from adlib.estimators._patches import Pass, Points
from adlib.exceptions import ImageError, SkippedImagesWarning
from adlib.neighbors import greedy_coreset
from adlib.neighbors._coreset import radius_bound
from tests import reference
from tests.conftest import texture

SIZE = 70  # entries, of 64 patches an image


def streaming(images=None, **parameters):
    chosen = {"image_size": 64, "coreset": SIZE, "progress": False} | parameters
    model = PatchCore(**chosen)
    return model if images is None else model.partial_fit(images)


@pytest.fixture(autouse=True)
def parts_of_three(monkeypatch):
    monkeypatch.setattr(_merging, "IMAGES_AT_ONCE", 3)


@pytest.fixture(scope="module")
def stream():
    return np.stack([texture(seed) for seed in range(100, 110)])


def obvious(images, size):
    """Merge and reduce with the textbook greedy; return rows and their places."""
    plain = PatchCore(image_size=64, coreset=1, progress=False).fit(images[:1])
    patches = np.stack([one.patches for one in plain.embeddings(images)])
    n_images, height, width, n_features = patches.shape
    every = np.indices((n_images, height, width)).reshape(3, -1).T
    rows, places = np.empty((0, n_features), np.float32), np.empty((0, 3), np.int64)
    for first in range(0, n_images, 3):
        new = every[(every[:, 0] >= first) & (every[:, 0] < first + 3)]
        places = np.concatenate([places, new])
        rows = np.concatenate([rows, patches[tuple(new.T)]])
        start = int(np.random.default_rng(0).integers(len(rows)))
        kept = np.sort(reference.greedy_coreset(rows, min(size, len(rows)), start))
        rows, places = rows[kept], places[kept]
    return rows, places


def test_the_bank_is_that_of_the_obvious_loop(stream):
    model = streaming(iter(stream))
    rows, places = obvious(stream, SIZE)
    bank = model.memory_bank_
    np.testing.assert_array_equal(bank.embeddings, rows)
    assert model.n_patches_ == 10 * 64
    # Names are those of images that have entries, and no others are kept.
    names = [model.training_images_[image] for image in bank.origins[:, 0]]
    assert names == [f"image {image}" for image in places[:, 0]]
    np.testing.assert_array_equal(bank.origins[:, 1:], places[:, 1:])
    assert sorted(model.training_images_) == sorted(set(names))
    assert len(model.training_digests_) == len(set(names))


def test_parts_batches_and_kinds_of_sources_change_nothing(stream):
    expected = streaming(iter(stream))
    later = streaming(stream[:3]).partial_fit(iter(stream[3:6]))
    later.partial_fit(list(stream[6:]))
    for model in (streaming(stream, batch_size=2), later):
        bank = model.memory_bank_
        np.testing.assert_array_equal(bank.embeddings, expected.memory_bank_.embeddings)
        np.testing.assert_array_equal(bank.origins, expected.memory_bank_.origins)
        assert model.covering_radius_ == expected.covering_radius_
        assert model.training_digests_ == expected.training_digests_


def test_an_endless_stream_is_read_no_further_than_asked(stream):
    read = []

    def camera():
        for number in range(10**9):
            read.append(number)
            yield stream[number % len(stream)]

    endless = camera()
    model = streaming(islice(endless, 5), batch_size=1)
    assert len(read) == 5
    assert len(model.partial_fit(islice(endless, 4)).memory_bank_) == SIZE
    assert len(read) == 9


def test_the_radius_is_bounded_from_fit_to_saved_file(stream, tmp_path):
    model = streaming(aggregation="max").fit(stream[:4])
    assert 0.0 < model.score(stream[:4]).max() <= model.covering_radius_
    model.partial_fit(stream[4:])
    assert model.score(stream).max() <= model.covering_radius_ * (1 + 1e-6)
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    assert loaded.covering_radius_ == model.covering_radius_
    assert loaded.training_images_ == model.training_images_
    loaded.partial_fit(stream[:2])
    assert len(loaded.memory_bank_) == SIZE
    assert "at most" in model.describe()["covering radius"]


def test_a_share_grows_and_keeps_the_larger_radius(stream):
    model = streaming(coreset=0.2).fit(stream[:3])
    first = model.covering_radius_
    alone = streaming(coreset=0.2).fit(stream[3:6]).covering_radius_
    assert model.partial_fit(stream[3:6]).covering_radius_ == max(first, alone)
    # A count that is set later holds from the next images on.
    assert len(model.memory_bank_) == 76
    model.set_params(coreset=20).partial_fit(stream[6:7])
    assert len(model.memory_bank_) == 20


def test_all_patches_cover_themselves_and_others_have_no_bound(stream):
    assert streaming(coreset=1.0).fit(stream[:2]).covering_radius_ == 0.0
    for way in ({"projection": 8}, {"selection": "random"}, {"coreset": 1}):
        model = streaming(**way).fit(stream[:2])
        assert model.covering_radius_ is None
        assert model.partial_fit(stream[2:3]).covering_radius_ is None


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 9))
@settings(deadline=None, max_examples=30)
def test_no_point_of_any_part_is_farther_than_the_bound(seed, n_parts, size):
    rng = np.random.default_rng(seed)
    every = rng.normal(size=(n_parts + 1, 12, 3)).astype(np.float32)
    every[rng.random(every.shape[:2]) < 0.2] = 1.0  # copies

    def chosen(points):
        n = min(size, len(points.embeddings))
        kept = greedy_coreset(points.embeddings, n, random_state=seed, device="cpu")
        reach = radius_bound(points.embeddings[kept], len(points.embeddings))
        return points.embeddings[kept], points.origins(kept), reach

    rows, origins, reach = chosen(Points(every[0], (3, 4), None))
    held = Held(rows, origins, ["0"], ["a"], 12, reach)
    for number in range(1, len(every)):
        images = Pass(iter(()))
        images.names, images.digests = [str(number)], ["a"]
        points = Points(every[number], (3, 4), None)
        both = union(held.rows, held.origins, points, len(held.names))
        rows, origins, reach = chosen(both)
        held = held.reduced(rows, origins, images, 12, reach)
    for row, (image, *place) in zip(held.rows, held.origins, strict=True):
        grid = every.reshape(-1, 3, 4, 3)
        np.testing.assert_array_equal(row, grid[int(held.names[image]), *place])
    points = every.reshape(-1, 1, 3).astype(np.float64)
    farthest = np.linalg.norm(points - held.rows, axis=2).min(axis=1).max()
    assert farthest <= held.radius * (1 + 1e-6)


def test_a_random_bank_holds_each_patch_with_the_same_chance():
    counts = np.zeros(60)
    for seed in range(2000):
        numbers = np.arange(20)[np.random.default_rng(seed).permutation(20)[:6]]
        for first in (20, 40):
            known = drawn(6, 20, first, 6, seed)
            numbers = np.concatenate([numbers, np.arange(first, first + 20)])[known]
            assert len(set(numbers)) == 6
        counts[numbers] += 1
    # 200 of each are expected; 14 is a standard deviation.
    thirds = counts.reshape(3, 20).sum(axis=1)
    assert np.abs(thirds - 4000).max() < 4 * np.sqrt(12000 * 2 / 9)
    assert np.abs(counts - 200).max() < 5 * 14
    assert len(drawn(6, 20, 10**12, 6, 0)) == 6


def test_images_that_cannot_be_read_are_skipped_across_parts(stream, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    model = streaming(stream[:3], on_error="skip")
    with pytest.warns(SkippedImagesWarning, match="3 images"):
        model.partial_fit([bad, bad, bad, *stream[3:5]])
    assert len(model.skipped_) == 3
    state = dict(model.__dict__)
    with pytest.raises(ImageError, match="partial_fit must hold at least one usable"):
        model.partial_fit([bad])
    assert model.__dict__ == state


def test_copies_contamination_and_a_region_keep_the_size(stream):
    region = np.zeros((64, 64), np.uint8)
    region[:, 16:] = 1
    ways = {"augment": ("flips",), "contamination": 0.1, "region": region}
    model = streaming(stream[:4], **ways)
    model.partial_fit(stream[4:])
    assert len(model.memory_bank_) == SIZE
    assert model.n_patches_ == 10 * 48
    assert (model.memory_bank_.origins[:, 2] >= 2).all()
    assert model.score(stream).shape == (10,)


def test_zones_and_thresholds_need_a_fit_before(stream):
    with pytest.raises(ValueError, match=r"zones of PatchCore\.partial_fit must be"):
        streaming(stream, zones=(2, 2))
    model = streaming(stream, false_positive_rate=0.3)
    assert model.threshold_ is None
    assert model.false_positive_rate == 0.3
    assert model.calibrate(stream[:1] // 2 + 9, false_positive_rate=0.5).threshold_


def test_an_approximate_index_is_trained_once(stream):
    pytest.importorskip("faiss")
    model = streaming(stream, search="faiss-hnsw")
    assert model.search_recall_.n_queries == SIZE + 64 - SIZE


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream(stream):
    peaks = []
    for n_images in (30, 30, 300):
        images = (np.roll(stream[i % 10], i, axis=0) for i in range(n_images))
        tracemalloc.start()
        model = streaming(images)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(model.training_images_) <= SIZE
    # All patches of 300 images would be 11.7 MB.
    assert peaks[2] - peaks[1] < 0.5e6
