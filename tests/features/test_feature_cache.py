"""The feature cache: the same bits, keys that matter, a limit, and damaged files."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from adlib import PaDiM, PatchCore, load
from adlib.features import Backbone, FeatureCache, use_feature_cache
from adlib.features._feature_cache import current_feature_cache, without_feature_cache

SIDE = 64


@pytest.fixture
def cache(tmp_path):
    found = FeatureCache(tmp_path / "cache", 100_000_000)
    use_feature_cache(found)
    yield found
    use_feature_cache(None)


def images(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, 3, SIDE, SIDE), generator=generator)


def backbone(**changed):
    return Backbone(**({"weights": None, "random_state": 0} | changed))


def files(cache):
    return sorted(cache.folder.rglob("*.features"))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("detector", [PatchCore, PaDiM])
def test_a_detector_gives_the_same_bits_with_and_without(cache, detector, runtime):
    rng = np.random.default_rng(0)
    X = rng.random((6, SIDE, SIDE, 3), dtype=np.float32)
    new = {"image_size": SIDE, "random_state": 0, "runtime": runtime}
    with without_feature_cache():
        plain = detector(**new).fit(X)
        expected = plain.anomaly_maps(X)
    cold = detector(**new).fit(X)
    assert (cache.hits, cache.misses) == (0, 6)
    assert np.array_equal(cold.anomaly_maps(X), expected)
    warm = detector(**new).fit(X)
    assert np.array_equal(warm.anomaly_maps(X), expected)
    assert (cache.hits, cache.misses) == (18, 6)


def test_a_loaded_model_finds_what_the_fitted_one_left(cache, tmp_path):
    X = np.random.default_rng(0).random((4, SIDE, SIDE, 3), dtype=np.float32)
    model = PatchCore(image_size=SIDE, coreset=0.5).fit(X)
    model.save(tmp_path / "model.adlib")
    expected = model.score(X)
    assert cache.misses == 4
    assert np.array_equal(load(tmp_path / "model.adlib").score(X), expected)
    assert cache.misses == 4


def test_a_batch_of_old_and_new_images_is_put_together(cache):
    network = backbone()
    network(images(2))
    whole = torch.cat([images(2), images(2, seed=1)])[[2, 0, 3, 1]]
    for found, expected in zip(network(whole), network.compute(whole), strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected)  # of other batches
    assert (cache.hits, cache.misses) == (2, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"random_state": 1},
        {"stages": (1, 2)},
        {"precision": "bfloat16"},
        {"runtime": "openvino"},
        {"name": "tf_efficientnet_lite1"},
    ],
    ids=str,
)
def test_another_backbone_has_another_key(changed):
    assert backbone().fingerprint == backbone().fingerprint
    assert backbone(**changed).fingerprint != backbone().fingerprint


@pytest.mark.slow
def test_weights_count_whatever_they_are_called():
    one, other = backbone(), backbone()
    state = next(iter(other.state().values()))
    state[0] += 1e-6
    assert one.fingerprint != other.fingerprint


def test_threads_count():
    one, threads = backbone().fingerprint, torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert backbone().fingerprint != one
    finally:
        torch.set_num_threads(threads)


def test_a_pixel_counts(cache):
    network, one = backbone(), images(1)
    network(one)
    other = one.clone()
    other[0, 1, 5, 7] += 1e-6
    network(other)
    network(one.reshape(1, 3, SIDE // 2, SIDE * 2))  # the same numbers in another shape
    assert (cache.hits, cache.misses) == (0, 3)


def test_a_damaged_file_counts_as_absent(cache):
    network, one = backbone(), images(1)
    expected = network(one)
    (path,) = files(cache)
    whole = path.read_bytes()
    damages = [b"", b"abc", whole[:-1], whole[:2000] + b"\x7f" + whole[2001:]]
    for damaged in damages:
        path.write_bytes(damaged)
        for found, wanted in zip(network(one), expected, strict=True):
            assert torch.equal(found, wanted)
        assert path.read_bytes() == whole  # written again
    assert (cache.hits, cache.misses) == (0, 1 + len(damages))


def test_the_longest_unused_files_give_way(tmp_path):
    network = backbone()
    first = FeatureCache(tmp_path, 10**9)
    use_feature_cache(first)
    try:
        network(images(1))
        size = first.n_bytes()
        limited = FeatureCache(tmp_path, int(4.5 * size))
        use_feature_cache(limited)
        for seed in range(1, 4):
            network(images(1, seed))
        for age, path in enumerate(files(limited)):
            os.utime(path, ns=(age, age))
        network(images(1))  # used now, so it stays
        for seed in range(4, 6):
            network(images(1, seed))
        assert limited.n_bytes() <= limited.max_bytes
        before = limited.hits
        network(images(1))
        assert limited.hits == before + 1
    finally:
        use_feature_cache(None)


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path):
    small = FeatureCache(tmp_path, 100)
    use_feature_cache(small)
    try:
        backbone()(images(1))
    finally:
        use_feature_cache(None)
    assert files(small) == []


def test_a_folder_that_cannot_be_written_to_costs_a_warning(cache):
    place = cache.folder
    place.rmdir()
    place.write_text("in the way")
    network = backbone()
    with pytest.warns(RuntimeWarning, match="cannot be written to"):
        found = network(images(1))
    network(images(1, seed=1))  # warned of once
    assert torch.equal(found[0], network.compute(images(1))[0])


def test_limits_are_checked(tmp_path):
    with pytest.raises(ValueError, match="max_bytes of FeatureCache must be"):
        FeatureCache(tmp_path, 0)
    with pytest.raises(TypeError, match="max_bytes of FeatureCache must be"):
        FeatureCache(tmp_path, 1.5)


def test_a_block_without_the_cache_restores_it(cache):
    with without_feature_cache():
        assert current_feature_cache() is None
    assert current_feature_cache() is cache
