"""Anomaly maps against torch's upsampling and scipy's blur."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from adlib._inspection import stretched
from adlib.estimators._results import anomaly_maps


def plain_map(grid, size):
    """Upsample, then blur, in float64."""
    tensor = torch.from_numpy(grid.astype(np.float64))[None, None]
    image = torch.nn.functional.interpolate(
        tensor, size, mode="bilinear", align_corners=False
    )
    sigma = [4 * side / 224 for side in size]
    return gaussian_filter(image[0, 0].numpy(), sigma)


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((28, 28), (224, 224)),
        ((8, 8), (64, 64)),
        ((5, 9), (40, 72)),
        ((9, 4), (100, 333)),
        ((1, 1), (16, 16)),
        ((3, 1), (17, 48)),
        ((20, 30), (16, 16)),
    ],
)
def test_maps_are_the_upsampled_and_blurred_grid(grid, size):
    scores = np.random.default_rng(0).gamma(2.0, 10.0, (3, *grid)).astype(np.float32)
    maps = anomaly_maps(scores, size)
    assert (maps.shape, maps.dtype) == ((3, *size), np.float32)
    wanted = np.stack([plain_map(image, size) for image in scores])
    np.testing.assert_allclose(maps, wanted, rtol=1e-5)


def test_maps_do_not_depend_on_the_batch():
    scores = np.random.default_rng(1).random((9, 7, 11), dtype=np.float32)
    whole = anomaly_maps(scores, (56, 88))
    for i in range(9):
        np.testing.assert_array_equal(
            anomaly_maps(scores[i : i + 1], (56, 88))[0], whole[i]
        )
    np.testing.assert_array_equal(anomaly_maps(scores[::-1], (56, 88)), whole[::-1])


def test_a_constant_grid_gives_a_constant_map():
    maps = anomaly_maps(np.full((1, 6, 4), 3.5, np.float32), (64, 48))
    np.testing.assert_allclose(maps, 3.5, rtol=1e-6)


def test_a_hot_patch_is_hot_where_the_patch_lies():
    scores = np.zeros((1, 8, 10), np.float32)
    scores[0, 2, 7] = 1.0
    row, column = np.unravel_index(anomaly_maps(scores, (64, 80)).argmax(), (64, 80))
    assert 16 <= row < 24
    assert 56 <= column < 64


@pytest.mark.parametrize("size", [(64, 48), (200, 333), (20, 16), (64, 200)])
def test_stretched_maps_are_pillows_bilinear(size):
    drawn = np.random.default_rng(2).random((64, 48), dtype=np.float32)
    wanted = Image.fromarray(drawn).resize(size[::-1], Image.Resampling.BILINEAR)
    result = stretched(drawn, size)
    np.testing.assert_array_equal(result, np.asarray(wanted))
    assert result.flags.writeable
    assert not np.shares_memory(result, drawn)
