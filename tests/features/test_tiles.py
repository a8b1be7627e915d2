"""Maps by tiles are those of the whole image, however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from adlib import PaDiM, PatchCore
from adlib.features import Backbone, _backbone
from adlib.features._tiles import MOST_PIXELS, by_tiles, cuts, plan, reach

SIZES = [(3072, 4096), (2048, 2048), (1300, 5000), (500, 9000)]


class Pyramid(nn.Module):
    """Two stages of convolutions, at strides 4 and 8."""

    def __init__(self, kernel=3):
        super().__init__()
        self.first = nn.Conv2d(3, 2, kernel, stride=4, padding=kernel // 2)
        self.second = nn.Conv2d(2, 2, kernel, stride=2, padding=kernel // 2)

    def forward(self, images):
        first = self.first(images)
        return first, self.second(first)


def slow_reach(network, strides, side=128):
    """Change one pixel after the other; see which values change."""
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    plain = network(images)
    row = side // 2
    farthest = 0
    for column in range(side // 2 - 8, side // 2 + 8):
        changed = images.clone()
        changed[:, :, row, column] += 100.0
        for one, other, stride in zip(plain, network(changed), strides, strict=True):
            places = (one != other).any(dim=1)[0].nonzero()[:, 1] * stride
            if len(places):  # some pixels lie between all kernels
                farthest = max(farthest, int((places - column).abs().max()))
    return farthest


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@torch.no_grad()
def test_reach_is_at_least_what_pixels_change(kernel):
    torch.manual_seed(0)
    network, strides = Pyramid(kernel), (4, 8)
    slow = slow_reach(network, strides)
    found = reach(network, strides)
    assert slow <= found <= slow + 3 * max(strides)
    assert found % max(strides) == 0


def test_attention_reaches_everywhere():
    class Attention(Pyramid):
        def forward(self, images):
            first, second = super().forward(images)
            return first, second * second.mean()

    assert reach(Attention(), (4, 8)) is None
    assert Backbone("test_byobnet", weights=None, random_state=0)._reach is None


@pytest.mark.parametrize("length", [200, 333, 512, 1000, 1001])
@pytest.mark.parametrize("n_tiles", [1, 2, 3, 5])
@pytest.mark.parametrize("margin", [0, 16, 48])
def test_cuts_keep_every_value_once_and_away_from_ends(length, n_tiles, margin):
    step = 16
    found = cuts(length, n_tiles, margin, step)
    if found is None:
        assert n_tiles > 1
        assert length < n_tiles * (2 * margin + 3 * step)
        return
    assert len(found) == n_tiles
    assert len({cut.stop - cut.start for cut in found}) == 1
    kept = [i for cut in found for i in range(cut.first, cut.last)]
    assert kept == list(range(length))
    for cut in found:
        assert cut.start % step == cut.first % step == 0
        assert 0 <= cut.start <= cut.first < cut.last <= cut.stop <= length
        assert cut.start == 0 or cut.first - cut.start >= margin
        assert cut.stop == length or cut.stop - cut.last >= margin


@pytest.mark.parametrize("size", SIZES)
def test_plans_fit_where_they_can(size):
    tiles = plan(size, 176, 16)
    for rows, columns in tiles:
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= MOST_PIXELS
    area = sum(
        (rows.last - rows.first) * (columns.last - columns.first)
        for rows, columns in tiles
    )
    assert area == size[0] * size[1]
    # Where no tile is small enough, the smallest are taken.
    wide = plan(size, 176, 16, most_pixels=1)
    assert len(wide) >= len(tiles)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((416, 488), "tf_efficientnet_lite0"),
        pytest.param((416, 488), "resnet18", marks=pytest.mark.slow),
        pytest.param((501, 430), "tf_efficientnet_lite0", marks=pytest.mark.slow),
        pytest.param((501, 430), "resnet18", marks=pytest.mark.slow),
    ],
)
def test_tiled_maps_are_those_of_the_whole(name, size):
    backbone = Backbone(name, weights=None, random_state=0)
    strides = [stage.stride for stage in backbone.stages]
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, *size, generator=generator)
    whole = backbone.compute(images)
    tiles = plan(size, backbone._reach, max(strides), most_pixels=size[0] * size[1] - 1)
    assert len(tiles) > 1
    found = by_tiles(backbone.compute, images, strides, tiles)
    for one, other in zip(whole, found, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(
            other, one, rtol=0, atol=1e-5 * float(one.abs().max())
        )


def test_a_margin_too_narrow_would_show():
    backbone = Backbone(weights=None, random_state=0)
    images = torch.rand(1, 3, 416, 488, generator=torch.Generator().manual_seed(1))
    whole = backbone.compute(images)
    tiles = plan((416, 488), 16, 16, most_pixels=100_000)
    found = by_tiles(backbone.compute, images, [8, 16], tiles)
    largest = max(float((a - b).abs().max()) for a, b in zip(whole, found, strict=True))
    assert largest > 1e-3 * float(whole[1].abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"), [(PatchCore, {"coreset": 200}), (PaDiM, {"n_channels": 8})]
)
def test_detectors_are_the_same_by_tiles(kind, options, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 30, 34, 3), dtype=np.uint8)
    images = images.repeat(16, axis=1).repeat(16, axis=2)
    model = kind(image_size=(480, 544), progress=False, device="cpu", **options)
    whole = model.fit(images)
    scores, maps = whole.score(images), whole.anomaly_maps(images)
    calls = []
    monkeypatch.setattr(_backbone, "MOST_PIXELS", 200_000)
    monkeypatch.setattr(
        _backbone, "by_tiles", lambda *args: calls.append(1) or by_tiles(*args)
    )
    tiled = kind(**model.get_params()).fit(images)
    assert calls
    np.testing.assert_allclose(tiled.score(images), scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        tiled.anomaly_maps(images), maps, rtol=0, atol=1e-5 * maps.max()
    )
