"""maps="anomalib" draws maps as that library does, in every room that draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adlib import PaDiM, PatchCore, load
from adlib.estimators._results import anomaly_maps

MODES = {PatchCore: "nearest", PaDiM: "bilinear"}


def slowly_drawn(patch_scores, size, mode):
    """Upsample and blur by a kernel of 33 x 33, reflected at the border."""
    steps = torch.arange(33.0) - 16
    line = torch.exp(-(steps**2) / (2 * 4.0**2))
    kernel = torch.outer(line, line)
    planes = F.interpolate(torch.from_numpy(patch_scores)[:, None], size, mode=mode)
    padded = F.pad(planes, (16, 16, 16, 16), mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])[:, 0].numpy()


@pytest.mark.parametrize("kind", list(MODES))
@pytest.mark.parametrize("size", [(64, 64), (50, 97)])
def test_maps_are_those_of_a_kernel(kind, size):
    scores = np.random.default_rng(0).random((3, 8, 11), dtype=np.float32)
    drawn = anomaly_maps(scores, size, kind._anomalibs)
    expected = slowly_drawn(scores, size, MODES[kind])
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", list(MODES))
def test_detectors_draw_so_before_and_after_they_are_saved(kind, good, mixed, tmp_path):
    model = kind(image_size=64, maps="anomalib", progress=False).fit(good)
    own = kind(image_size=64, progress=False).fit(good)
    np.testing.assert_array_equal(model.score(mixed), own.score(mixed))
    scores = own._score_patches(own._embedder()(_pixels(mixed)).numpy()).patch_scores
    expected = slowly_drawn(scores, (64, 64), MODES[kind])
    maps = model.anomaly_maps(mixed)
    np.testing.assert_allclose(maps, expected, rtol=1e-5)
    assert not np.allclose(maps, own.anomaly_maps(mixed), rtol=1e-2)
    model.save(tmp_path / "model.adlib")
    np.testing.assert_array_equal(
        load(tmp_path / "model.adlib").anomaly_maps(mixed), maps
    )


@pytest.mark.slow
def test_image_scores_are_the_highest_of_such_maps_in_the_export(good, mixed, tmp_path):
    from adlib import runtime

    given = {"image_size": 64, "aggregation": "map_max", "progress": False}
    model = PaDiM(maps="anomalib", **given).fit(good)
    expected = model.anomaly_maps(mixed).max(axis=(1, 2))
    np.testing.assert_array_equal(model.score(mixed), expected)
    model.export(tmp_path / "model.onnx")  # which compares maps, too
    exported = runtime.load(tmp_path / "model.onnx")
    np.testing.assert_allclose(exported.score(mixed), expected, rtol=1e-4)


def test_it_belongs_to_what_was_learned(good, mixed):
    model = PatchCore(image_size=64, maps="anomalib", progress=False).fit(good)
    model.set_params(maps="paper")
    with pytest.raises(ValueError, match=r"maps of PatchCore must be 'anomalib', with"):
        model.anomaly_maps(mixed)


@pytest.mark.parametrize(
    ("given", "fragment"),
    [
        ({"maps": "paper's"}, "maps of PatchCore must be one of"),
        ({"maps": "anomalib", "resize": "letterbox"}, '"paper" with a region, or'),
        ({"maps": "anomalib", "region": np.ones((64, 64), bool)}, '"paper" with a reg'),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, fragment, good):
    with pytest.raises(ValueError, match=fragment):
        PatchCore(image_size=64, **given).fit(good)


def _pixels(images):
    return torch.from_numpy(images / np.float32(255))[:, None].expand(-1, 3, -1, -1)
