"""AUPRO and AUPIMO equal anomalib's, where it is installed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

from adlib.metrics import PixelCurves, aupimo

torch = pytest.importorskip("torch")
pytest.importorskip("anomalib", reason="anomalib, an extra, is not installed")


@pytest.fixture(params=["smooth", "ties", "touching"])
def masks_and_maps(request):
    """Masks and maps, (30, 64, 48): smooth, with few levels, or of many regions."""
    rng = np.random.default_rng(7)
    shape = (30, 64, 48)
    maps = np.stack(
        [ndimage.gaussian_filter(rng.normal(size=shape[1:]), 2) for _ in range(30)]
    )
    masks = np.zeros(shape, bool)
    for mask in masks[:15]:
        for _ in range(3 if request.param == "touching" else 1):
            y, x = rng.integers(0, 50), rng.integers(0, 36)
            mask[y : y + rng.integers(1, 14), x : x + rng.integers(1, 12)] = True
    maps += 0.15 * masks
    if request.param == "ties":
        maps = np.round(maps * 40) / 40
    return masks, maps.astype(np.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_equals_anomalibs(masks_and_maps, limit):
    from anomalib.metrics.aupro import _AUPRO

    masks, maps = masks_and_maps
    theirs = _AUPRO(fpr_limit=limit)
    theirs.update(torch.from_numpy(maps), torch.from_numpy(masks))
    expected = float(theirs.compute())
    assert PixelCurves.of(masks, maps).aupro(limit) == pytest.approx(expected, abs=1e-4)


# Not with ties: theirs takes the nearest rates that there are for the bounds.
@pytest.mark.parametrize("masks_and_maps", ["smooth", "touching"], indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_aupimo_is_near_anomalibs(masks_and_maps):
    from anomalib.metrics.pimo.pimo import _AUPIMO

    masks, maps = masks_and_maps
    bounds = (1e-3, 1e-1)  # of few pixels: 1e-5 of 46,080 normal ones is none
    theirs = _AUPIMO(fpr_bounds=bounds, return_average=False, force=True)
    theirs.update(torch.from_numpy(maps), torch.from_numpy(masks))
    with warnings.catch_warnings(action="ignore"):
        expected = theirs.compute()[1].aupimos.numpy()
    found = aupimo(masks, maps, bounds)
    # Theirs samples thresholds and joins points by lines; ours takes every step.
    np.testing.assert_allclose(found.per_image, expected[found.images], atol=0.02)
    assert found.mean == pytest.approx(np.nanmean(expected), abs=0.01)
