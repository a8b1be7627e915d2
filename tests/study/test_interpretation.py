"""What a distance is made of adds up, and patches are what the masks say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from adlib import PatchCore
from adlib.datasets import read_mask
from adlib.study._interpretation import (
    distance_shares,
    project,
    sample_patches,
    stage_maps,
)
from adlib.study._predictions import resized_mask
from tests.study.conftest import sample_of, value

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interpretation")
    return [sample_of(folder, number, "test", number % 2) for number in range(20, 26)]


@pytest.mark.parametrize("embedding", ["concat", "nearest"])
def test_shares_of_stages_are_those_of_their_features(embedding, good, samples):
    model = PatchCore(
        image_size=64, coreset=0.2, embedding=embedding, progress=False
    ).fit(good)
    n_first = model.backbone_.stages[0].channels
    expected = {"normal": [], "anomalous": []}
    for one in model.embeddings([sample.image_path for sample in samples]):
        patches = one.patches.reshape(-1, one.patches.shape[2]).astype(np.float64)
        gaps = (patches[:, None] - model.memory_bank_.embeddings) ** 2
        squared = gaps.sum(axis=2)
        worst = squared.min(axis=1).argmax()
        parts = gaps[worst, squared[worst].argmin()]
        kind = "anomalous" if samples[one.position].label else "normal"
        expected[kind].append(parts / parts.sum())
    found = distance_shares(model, samples)
    for kind, parts in expected.items():
        mean, metric = np.mean(parts, axis=0), f"distance_share_{kind}"
        first = value(found, metric, setting="layer stride 8")
        assert first == pytest.approx(mean[:n_first].sum())
        second = value(found, metric, setting="layer stride 16")
        assert first + second == pytest.approx(1.0)
        assert value(found, metric, "n", setting="layer stride 8") == 3
        for place in np.argsort(-mean)[:10]:
            share = value(found, metric, setting=f"feature {place}")
            assert share == pytest.approx(mean[place])


def test_distances_by_stage_add_up_to_the_distance(fitted, samples):
    maps = stage_maps(fitted, samples[1])
    (one,) = fitted.embeddings([samples[1].image_path])
    queries = one.patches.reshape(-1, one.patches.shape[2])
    distances = fitted.memory_bank_.kneighbors(queries).distances[:, 0]
    total = np.sqrt(sum(part**2 for _, part in maps.values())).ravel()
    np.testing.assert_allclose(total, distances, rtol=1e-5)
    assert list(maps) == ["stride 8", "stride 16"]
    assert [part.shape for part, _ in maps.values()] == [(8, 8), (4, 4)]
    assert all((part >= 0).all() for part, _ in maps.values())


def test_an_embedding_that_mixes_channels_is_refused(good, samples):
    model = PatchCore(image_size=64, coreset=0.2, embedding="paper", progress=False)
    with pytest.raises(ValueError, match="must keep channels apart"):
        distance_shares(model.fit(good), samples)


def test_patches_are_of_the_kind_that_their_mask_says(fitted, samples):
    _, kinds = sample_patches(fitted, samples, n_each=1000, random_state=0)
    marked = 0
    for sample in samples:
        if sample.mask_path is not None:
            marked += resized_mask(read_mask(sample.mask_path), fitted.grid_).sum()
    n_kinds = {kind: kinds.count(kind) for kind in set(kinds)}
    assert n_kinds == {
        "normal image": 3 * 64,
        "defect": marked,
        "beside a defect": 3 * 64 - marked,
    }
    fewer, kinds = sample_patches(fitted, samples, n_each=10, random_state=3)
    again, _ = sample_patches(fitted, samples, n_each=10, random_state=3)
    assert len(kinds) == 30
    np.testing.assert_array_equal(fewer, again)


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_plane_keeps_groups_apart_and_is_the_same_again(method):
    if method == "umap":
        pytest.importorskip("umap", reason="umap-learn is not installed")
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(40, 8)), rng.normal(9, size=(40, 8))])
    plane = project(points, method, random_state=1)
    assert plane.shape == (80, 2)
    first, second = plane[:40], plane[40:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > first.std(axis=0).max()
    np.testing.assert_array_equal(plane, project(points, method, random_state=1))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"adlib-vision\[study\]"):
        project(np.zeros((40, 2)), "umap")
