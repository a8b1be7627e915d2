"""Copies and pickles of detectors score the same, and share nothing that changes."""

from __future__ import annotations

import copy
import io
import pickle
from typing import get_args

import joblib
import numpy as np
import pytest
from sklearn.base import clone

import adlib._device
from adlib import PaDiM, PatchCore
from adlib.features import Backbone, FeatureCache
from adlib.neighbors import MemoryBank
from adlib.neighbors._bank import SearchKind
from tests.features.test_runtimes import openvino_or_skip

pytestmark = pytest.mark.slow


def by_joblib(value):
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "joblib": by_joblib,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
DETECTORS = {
    "openvino": lambda: PatchCore(image_size=64, progress=False, runtime="openvino"),
    "bfloat16": lambda: PatchCore(
        image_size=64, progress=False, precision="bfloat16", aggregation="reweighted"
    ),
    "padim": lambda: PaDiM(image_size=64, progress=False),
    "padim, openvino": lambda: PaDiM(image_size=64, progress=False, runtime="openvino"),
    "padim, pca": lambda: PaDiM(
        image_size=64, progress=False, channels="pca", n_channels=9
    ),
}


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_copy_scores_the_same(kind, good, mixed):
    if "openvino" in kind:
        openvino_or_skip()  # not by importing it, which would start its telemetry
    detector = DETECTORS[kind]()
    pickle.loads(pickle.dumps(detector))  # before fit too
    detector.fit(good)
    assert detector.backbone_.fingerprint  # computed once and kept
    maps = detector.anomaly_maps(mixed)
    for way in ("deepcopy", "joblib", "copy"):
        again = WAYS[way](detector)
        np.testing.assert_array_equal(again.anomaly_maps(mixed), maps)
    np.testing.assert_array_equal(detector.anomaly_maps(mixed), maps)
    assert not hasattr(clone(detector), "backbone_")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("search", get_args(SearchKind))
def test_a_copied_bank_finds_the_same(search, way):
    if search != "exact":
        pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    X, queries = rng.normal(size=(300, 12)), rng.normal(size=(50, 12))
    origins = np.stack([np.arange(300) // 50] * 3, axis=1)
    bank = MemoryBank(X, search=search, origins=origins, device="cpu")
    again = WAYS[way](bank)
    left_out = np.arange(50) % 6
    for options in ({}, {"left_out": left_out}):
        found, expected = (
            one.kneighbors(queries, 3, **options) for one in (again, bank)
        )
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.distances, expected.distances)


def test_a_deep_copy_shares_nothing_that_changes(fitted):
    again = copy.deepcopy(fitted)
    assert not np.shares_memory(
        again.memory_bank_.embeddings, fitted.memory_bank_.embeddings
    )
    assert again.training_images_ is not fitted.training_images_
    ours, theirs = (one.backbone_.state() for one in (fitted, again))
    places = {tensor.data_ptr() for tensor in ours.values()}
    assert places.isdisjoint(tensor.data_ptr() for tensor in theirs.values())


def test_what_lay_on_a_gpu_comes_back_where_there_is_none(monkeypatch, good):
    backbone = Backbone(weights=None, random_state=0)
    backbone.device = "cuda:0"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pickle.loads(pickle.dumps(backbone)).device == "cpu"
    bank = MemoryBank(np.eye(3), device="cpu")
    bank._place = "cuda:0"
    assert len(pickle.loads(pickle.dumps(bank))) == 3
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert adlib._device.still_there("cuda:0") == "cuda:0"
    assert adlib._device.still_there("cuda:1") == "cpu"


def test_a_feature_cache_can_be_sent_to_workers(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=10**6)
    again = pickle.loads(pickle.dumps(cache))
    assert (again.folder, again.max_bytes) == (cache.folder, cache.max_bytes)
