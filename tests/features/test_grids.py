"""Transformers: sizes that their patches allow, the maps of timm, and one clear no."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

import adlib
from adlib import PaDiM, PatchCore
from adlib.features import Backbone, FeatureCache, Stage, use_feature_cache
from adlib.features._grids import check_size, settings_of
from tests.conftest import quick
from tests.features.test_backbone import pixels
from tests.features.test_runtimes import openvino_or_skip

RANDOM = {"weights": None, "random_state": 0}
SMALL = "test_vit3"  # a ViT of 9 blocks, with a class token and a register, at 160x160
TWO = [SMALL, pytest.param("test_vit", marks=pytest.mark.slow)]


def made(name=SMALL, size=(64, 96), **changed):
    return Backbone(name, image_size=size, **RANDOM | changed)


transformer = cache(made)  # a backbone never changes


@cache
def on_meta(name):
    with torch.device("meta"):
        return timm.create_model(name, **settings_of(name))


def normalised(backbone, images):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in backbone.normalisation)
    return (images - mean) / std


@pytest.mark.parametrize(
    ("name", "size", "stages", "one_size"),
    [
        ("test_vit", (64, 96), [(5, 64, 16)], True),
        (SMALL, (64, 96), [(8, 96, 16)], True),
        pytest.param(
            "vit_tiny_patch16_224",
            (64, 96),
            [(11, 192, 16)],
            True,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "vit_small_patch14_dinov2.lvd142m",
            (56, 70),
            [(11, 384, 14)],
            True,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "vit_small_patch14_reg4_dinov2.lvd142m",
            (56, 70),
            [(11, 384, 14)],
            True,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "vit_small_patch16_dinov3.lvd1689m",
            (64, 96),
            [(11, 384, 16)],
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "swin_tiny_patch4_window7_224.ms_in1k",
            (64, 100),
            [(1, 192, 8), (2, 384, 16)],
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "swinv2_tiny_window8_256.ms_in1k",
            (64, 96),
            [(1, 192, 8), (2, 384, 16)],
            False,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_transformer_gives_maps_at_other_sizes(name, size, stages, one_size):
    backbone = transformer(name, size)
    assert backbone.stages == tuple(Stage(*stage) for stage in stages)
    assert backbone.image_size == (size if one_size else None)
    images = pixels(3, *size)
    together = backbone(images)
    grids = [tuple(-(-side // s.stride) for side in size) for s in backbone.stages]
    expected = [
        (3, s.channels, *g) for s, g in zip(backbone.stages, grids, strict=True)
    ]
    assert [tuple(stage.shape) for stage in together] == expected
    for part in (slice(0, 1), slice(1, 3)):
        for stage, whole in zip(backbone(images[part]), together, strict=True):
            assert torch.equal(stage, whole[part])
    again = copy.deepcopy(backbone)  # as a model file does it
    assert again.image_size == backbone.image_size
    for stage, whole in zip(again(images), together, strict=True):
        assert torch.equal(stage, whole)


def test_maps_are_timms_tokens_behind_the_final_norm():
    backbone = transformer(size=(160, 160), stages=(3, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = timm.create_model(SMALL).eval()
    caught = []
    for index in (3, 8):
        whole.blocks[index].register_forward_hook(
            lambda _module, _input, output: caught.append(output)
        )
    images = pixels(2, 160, 160)
    with torch.inference_mode():
        whole(normalised(backbone, images))
        for tokens, stage in zip(caught, backbone(images), strict=True):
            patches = whole.norm(tokens)[:, whole.num_prefix_tokens :]
            grid = patches.transpose(1, 2).reshape(2, -1, 10, 10)
            torch.testing.assert_close(stage, grid, rtol=1e-4, atol=1e-5)


def test_position_embeddings_are_timms_interpolated_ones():
    at_own, found = (transformer("test_vit", size) for size in (None, (64, 96)))
    expected = resample_abs_pos_embed(
        at_own.state()["pos_embed"], new_size=(4, 6), old_size=(10, 10)
    )
    assert torch.equal(found.state()["pos_embed"], expected)


@pytest.mark.slow
def test_the_windows_of_swin_keep_their_size_and_weights():
    name = "swin_tiny_patch4_window7_224"
    small, large = (transformer(name, (side, side)).state() for side in (64, 320))
    own = timm.create_model(name).state_dict()
    assert all(torch.equal(tensor, large[key]) for key, tensor in small.items())
    assert all(tensor.shape == own[key].shape for key, tensor in small.items())


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (SMALL, (64, 100), rf"{SMALL} takes; got 64 x 100\. Near .*: 96 and 112 for"),
        (SMALL, (70, 100), r"64 and 80 for 70, 96 and 112 for 100\.$"),
        ("test_vit", (70, 70), r"64 and 80 for 70\.$"),
        pytest.param(
            "vit_small_patch14_dinov2",
            (320, 448),
            r"308 and 322 for 320\.$",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "swin_tiny_patch4_window7_224",
            (321, 320),
            r"320 and 324 for 321\.$",
            marks=pytest.mark.slow,
        ),
        ("hiera_tiny_224", (320, 320), r"224 for 320\.$"),
        ("hiera_tiny_224", (2000, 2000), r"It takes 224 x 224 alone\.$"),
    ],
)
def test_a_size_that_a_network_does_not_take_is_refused(name, size, message):
    with pytest.raises(ValueError, match=f"image_size of Backbone must be .*{message}"):
        check_size(copy.deepcopy(on_meta(name)), name, size)  # which changes it


def test_images_of_another_size_are_refused():
    message = r"of 64 x 96 pixels, .* got 96 x 64\. Pass image_size=\(96, 64\)"
    with pytest.raises(ValueError, match=f"images of Backbone must be {message}"):
        transformer()(pixels(1, 96, 64))


def test_a_convolutional_network_takes_images_of_any_size():
    backbone = transformer("test_byobnet", (65, 97))
    assert backbone.image_size is None
    assert backbone(pixels(1, 70, 64))[0].shape[-2:] == (9, 8)


@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        "test_vit",
        pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow),
    ],
)
def test_a_transformer_takes_large_images_whole(name):
    """By tiles, windows would lie elsewhere, and positions be others."""
    assert transformer(name)._reach is None


def test_a_state_without_the_final_norm_is_read_as_it_was():
    """Files of earlier versions, which took a ViT if ``stages`` named its blocks."""
    backbone = transformer(stages=(3, 8))
    state = {k: v for k, v in backbone.state().items() if not k.startswith("norm.")}
    given = (SMALL, state, [3, 8], backbone.normalisation, "cpu")
    old = Backbone.from_weights(*given, image_size=(64, 96))
    images = pixels(1, 64, 96)
    expected = backbone._network.forward_intermediates(
        normalised(backbone, images), indices=[3, 8], intermediates_only=True
    )
    for stage, wanted in zip(old(images), expected, strict=True):
        torch.testing.assert_close(stage, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("kind", quick([PatchCore, PaDiM], PaDiM))
def test_a_detector_is_saved_with_its_size(kind, name, good, tmp_path):
    size = {"image_size": (64, 96), "progress": False, "device": "cpu"}
    model = kind(backbone=name, weights=None, stages=(3, 5), **size).fit(good)
    assert model.grid_ == (4, 6)
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib", device="cpu")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))


def test_a_detector_names_the_near_sizes_before_it_reads(tmp_path):
    missing = [str(tmp_path / "missing.png")]
    with pytest.raises(ValueError, match="Near sides that it takes: 96 and 112"):
        PatchCore(backbone=SMALL, weights=None, image_size=100).fit(missing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "largest"),
    [({"runtime": "openvino"}, 2e-5), ({"precision": "bfloat16"}, 0.1)],
)
@pytest.mark.parametrize("name", TWO)
def test_every_runtime_gives_the_maps(name, way, largest):
    if "runtime" in way:
        openvino_or_skip()
    images = pixels(2, 64, 96)
    (expected,) = transformer(name)(images)
    (found,) = transformer(name, **way)(images)
    assert (found - expected).norm() <= largest * expected.norm()


@pytest.mark.slow
def test_the_size_is_part_of_the_fingerprint(tmp_path):
    one, same, other = (made(size=(64, s)).fingerprint for s in (96, 96, 64))
    assert one == same != other
    use_feature_cache(cache := FeatureCache(tmp_path, 10**8))
    try:
        cold, warm = (made()(pixels(2, 64, 96))[0] for _ in range(2))
    finally:
        use_feature_cache(None)
    assert (cache.misses, cache.hits) == (2, 2)
    assert torch.equal(cold, warm)
