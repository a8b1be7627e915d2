"""The Gaussians: one pass, packed or of low rank, on CPU and GPU, as the twin says."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from adlib.estimators import _gaussian, _gaussian_torch
from adlib.estimators._gaussian import FEW_IMAGES, GaussianFit, mahalanobis
from adlib.estimators._gaussian_cpu import SumsCPU, blocked, unblocked
from adlib.estimators._gaussian_torch import MahalanobisTorch, SumsTorch
from tests import reference

SHAPES = [(1, 1), (5, 3), (16, 8), (17, 21), (33, 40)]  # positions, features


def embeddings(n_images, n_positions, n_features, seed=0, offset=0.0):
    """Return correlated features whose variances span three orders of magnitude."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_features, n_features))
    scales = np.logspace(0.5, -1, n_features)
    x = rng.standard_normal((n_images, n_positions, n_features)) * scales @ mixing
    return (x + offset).astype(np.float32)


def fitted(learned, *, regularization=0.01, batch=7, device="cpu"):
    fit = GaussianFit(regularization, device)
    for first in range(0, len(learned), batch):
        fit.add(learned[first : first + batch])
    return fit.finish(progress=False)


def distances(gaussian, asked):
    return np.sqrt(mahalanobis(gaussian, "cpu").squared(asked))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_images", [1, 2, 5, 30, 90])
def test_distances_are_those_of_the_slow_twin(shape, n_images):
    learned, asked = embeddings(n_images, *shape), embeddings(6, *shape, seed=1)
    gaussian = fitted(learned)
    few = n_images <= max(1, int(FEW_IMAGES * shape[1]))
    assert (gaussian.spread is not None) == few
    expected = reference.mahalanobis(learned, asked, 0.01)
    np.testing.assert_allclose(distances(gaussian, asked), expected, rtol=2e-5)


@pytest.mark.parametrize("regularization", [1e-4, 0.1, 10.0])
def test_both_forms_hold_for_any_regularization(regularization):
    for n_images in (8, 60):
        learned = embeddings(n_images, 17, 30)
        asked = embeddings(5, 17, 30, seed=1)
        gaussian = fitted(learned, regularization=regularization)
        expected = reference.mahalanobis(learned, asked, regularization)
        np.testing.assert_allclose(distances(gaussian, asked), expected, rtol=1e-4)


@pytest.mark.parametrize("n_images", [8, 60])
def test_an_image_that_was_learned_has_no_lost_digits(n_images):
    learned = embeddings(n_images, 17, 30)
    # The largest variance is about 1e5 times as large as what is added to it.
    expected = reference.mahalanobis(learned, learned[:5], 0.01)
    came = distances(fitted(learned, regularization=0.01), learned[:5])
    np.testing.assert_allclose(came, expected, rtol=1e-5)


@pytest.mark.parametrize("n_images", [5, 60])
def test_data_far_from_zero_loses_only_what_float32_cannot_hold(n_images):
    learned = embeddings(n_images, 16, 20, offset=1e4)
    asked = embeddings(5, 16, 20, seed=1, offset=1e4)
    expected = reference.mahalanobis(learned, asked, 1.0)
    came = distances(fitted(learned, regularization=1.0), asked)
    np.testing.assert_allclose(came, expected, rtol=5e-3)
    near = learned - np.float32(1e4)  # what float32 holds of them, moved to zero
    np.testing.assert_allclose(
        reference.mahalanobis(near, asked - np.float32(1e4), 1.0), expected, rtol=1e-6
    )


@pytest.mark.parametrize("n_images", [9, 61])
def test_batches_and_threads_do_not_change_a_bit(n_images, monkeypatch):
    learned, asked = embeddings(n_images, 35, 24), embeddings(4, 35, 24, seed=1)
    expected = fitted(learned)
    found = distances(expected, asked)
    for batch, threads in ((1, "1"), (3, "2"), (100, "5")):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        for part, whole in zip(fitted(learned, batch=batch), expected, strict=True):
            np.testing.assert_array_equal(part, whole)
        alone = np.concatenate([distances(expected, one[None]) for one in asked])
        np.testing.assert_array_equal(alone, found)


def test_more_images_take_no_more_memory():
    fit = GaussianFit(0.01, "cpu")
    for seed in range(20):
        fit.add(embeddings(10, 17, 12, seed=seed))
    assert fit._waiting.shape[0] == int(FEW_IMAGES * 12)
    assert fit._sums._products.size == 2 * 78 * 16
    assert fit._n_images == 200


@pytest.mark.parametrize("n_images", [3, 50])
def test_the_gpu_twin_says_the_same(n_images, monkeypatch):
    learned, asked = embeddings(n_images, 19, 20), embeddings(6, 19, 20, seed=1)
    expected = fitted(learned)
    monkeypatch.setattr(_gaussian, "SumsCPU", partial(SumsTorch, device="cpu"))
    twin = fitted(learned)
    for part, whole in zip(twin, expected, strict=True):
        if part is not None:
            np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-6)
    engine = MahalanobisTorch(expected, "cpu")
    np.testing.assert_allclose(
        np.sqrt(engine.squared(asked)), distances(expected, asked), rtol=1e-5
    )


def test_the_gpu_sums_are_those_of_the_cpu_in_chunks(monkeypatch):
    monkeypatch.setattr("adlib.estimators._gaussian_torch.CHUNK_BYTES", 8 * 9 * 6 * 4)
    learned = embeddings(9, 18, 6)
    moments = []
    for sums in (SumsCPU(learned[0]), SumsTorch(learned[0], "cpu")):
        sums.add(learned)
        means, covariances = sums.moments(1, 2, 9)
        moments.append((means.numpy(), np.tril(covariances.numpy())))
    for ours, twin in zip(*moments, strict=True):
        np.testing.assert_allclose(ours, twin, rtol=1e-10, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n_images", [3, 50])
def test_a_gpu_agrees_with_the_cpu(n_images):
    learned, asked = embeddings(n_images, 19, 20), embeddings(6, 19, 20, seed=1)
    twin = fitted(learned, device="cuda:0")
    found = mahalanobis(twin, "cuda:0").squared(asked)
    np.testing.assert_allclose(
        np.sqrt(found), distances(fitted(learned), asked), rtol=1e-4
    )


IN_A_NEW_PROCESS = """
import numpy as np
from adlib.estimators._gaussian import GaussianFit

fit = GaussianFit(0.01, "cuda:0")
fit.add(np.random.default_rng(0).random((90, 4000, 40), dtype=np.float32))
print(np.isfinite(fit.finish(progress=False).factors).all())
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_threads_are_first_at_a_gpus_solvers_together():
    # torch loads them at their first use, which fails where two threads are first.
    command = [sys.executable, "-c", IN_A_NEW_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_solvers_are_loaded_before_threads_ask_for_them(monkeypatch):
    loaded = []
    monkeypatch.setattr(_gaussian_torch, "load_solvers", loaded.append)
    monkeypatch.setattr(
        GaussianFit, "_keep_spread", lambda self, *asked: loaded.append("threads")
    )
    fit = GaussianFit(0.01, "cuda:0")
    fit.add(embeddings(2, 5, 9))
    fit.finish(progress=False)
    assert loaded[:2] == ["cuda:0", "threads"]


def test_what_cannot_be_factorised_is_refused():
    learned = embeddings(60, 4, 8, offset=0.0) * np.float32(1e6)
    learned[:, :, 1] = learned[:, :, 0]
    with pytest.raises(
        ValueError, match="regularization of PaDiM must be large enough"
    ):
        fitted(learned, regularization=1e-12)


@pytest.mark.parametrize("n_positions", [1, 16, 17])
def test_blocks_hold_positions_side_by_side(n_positions):
    rows = np.arange(n_positions * 3, dtype=np.float32).reshape(n_positions, 3)
    blocks = blocked(rows)
    assert blocks.shape == (-(-n_positions // 16), 3, 16)
    assert blocks[0, 2, 0] == 2
    np.testing.assert_array_equal(unblocked(blocks)[:n_positions], rows)
    assert not unblocked(blocks)[n_positions:].any()
