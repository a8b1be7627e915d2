"""A backbone is frozen, cut off behind its last stage, and independent of batches."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from safetensors.torch import save_file

from adlib.exceptions import WeightsError
from adlib.features import Backbone, Stage
from adlib.features._weights import DEFAULT_BACKBONE, Normalisation


def pixels(n_images=3, height=64, width=64):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n_images, 3, height, width, generator=generator)


def skip_without_stages(name):
    """Skip what needs the stages of a network that older releases of timm lack."""
    if not hasattr(network_of(name), "forward_intermediates"):
        pytest.skip(f"timm {timm.__version__} cannot return the stages of {name}")


def network_of(name, seed=0):
    """Return timm's whole network with random weights and random statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(name).eval()
        for key, tensor in network.state_dict().items():
            if key.endswith("running_mean"):
                tensor.uniform_(-0.1, 0.1)
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
    return network


def n_parameters(backbone):
    return sum(tensor.numel() for tensor in backbone._network.parameters())


@pytest.fixture(scope="module")
def default():
    return Backbone()


@pytest.fixture(scope="module")
def resnet():
    return network_of("resnet18")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (DEFAULT_BACKBONE, [(2, 40, 8), (3, 112, 16)]),
        ("resnet18", [(2, 128, 8), (3, 256, 16)]),
        ("wide_resnet50_2", [(2, 512, 8), (3, 1024, 16)]),
        ("convnext_atto", [(1, 80, 8), (2, 160, 16)]),
        ("regnetx_002", [(2, 56, 8), (3, 152, 16)]),
    ],
)
def test_the_default_stages_have_strides_8_and_16(name, stages):
    backbone = Backbone(name, weights=None, random_state=0)
    assert backbone.stages == tuple(Stage(*stage) for stage in stages)
    maps = backbone(pixels(1, 64, 96))
    expected = [(1, channels, 64 // s, 96 // s) for _, channels, s in stages]
    assert [tuple(stage.shape) for stage in maps] == expected
    assert all(stage.dtype == torch.float32 for stage in maps)
    whole = timm.create_model(name)
    assert n_parameters(backbone) < sum(p.numel() for p in whole.parameters())


def test_stages_are_read_in_ascending_order(default):
    backbone = Backbone(stages=[4, 1, 2])
    assert [(s.index, s.stride) for s in backbone.stages] == [(1, 4), (2, 8), (4, 32)]
    maps = backbone(pixels())
    assert [stage.shape[-1] for stage in maps] == [16, 8, 2]
    assert torch.equal(maps[1], default(pixels())[0])


@pytest.mark.slow
def test_an_earlier_last_stage_leaves_fewer_parameters():
    counts = [
        n_parameters(Backbone("resnet18", weights=None, stages=[stage]))
        for stage in range(5)
    ]
    whole = sum(p.numel() for p in timm.create_model("resnet18").parameters())
    assert counts == sorted(set(counts))
    assert counts[-1] < whole


def test_maps_are_those_of_the_whole_network(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    backbone = Backbone("resnet18", weights=tmp_path / "resnet18.pth")
    caught = []
    hooks = [
        layer.register_forward_hook(
            lambda _module, _input, output: caught.append(output)
        )
        for layer in (resnet.layer2, resnet.layer3)
    ]
    mean = torch.tensor(backbone.normalisation.mean).view(1, 3, 1, 1)
    std = torch.tensor(backbone.normalisation.std).view(1, 3, 1, 1)
    with torch.inference_mode():
        resnet((pixels() - mean) / std)
    for hook in hooks:
        hook.remove()
    for found, expected in zip(backbone(pixels()), caught, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_each_network_has_its_own_normalisation(default):
    assert default.normalisation == Normalisation((127 / 255,) * 3, (128 / 255,) * 3)
    imagenet = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Backbone("resnet18", weights=None).normalisation == imagenet


def test_the_default_weights_are_no_random_ones(default):
    stride_8, _ = default(pixels())
    other, _ = Backbone(weights=None, random_state=0)(pixels())
    assert not torch.allclose(stride_8, other, atol=0.1)


def test_the_network_is_frozen_and_in_evaluation_mode(default):
    before = {name: tensor.clone() for name, tensor in default.state().items()}
    maps = default(pixels())
    assert not any(module.training for module in default._network.modules())
    assert not any(tensor.requires_grad for tensor in default._network.parameters())
    assert not any(stage.requires_grad for stage in maps)
    for name, tensor in default.state().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("shape", [(64, 64), (97, 65)])
def test_what_an_image_gives_does_not_depend_on_its_batch(default, shape):
    images = pixels(5, *shape)
    together = default(images)
    for part in (slice(0, 1), slice(1, 3), slice(3, 5)):
        for stage, whole in zip(default(images[part]), together, strict=True):
            assert torch.equal(stage, whole[part])


def test_the_memory_layout_of_images_does_not_matter(default):
    images = pixels()
    last = images.contiguous(memory_format=torch.channels_last)
    for stage, other in zip(default(images), default(last), strict=True):
        assert torch.equal(stage, other)


def test_images_are_left_as_they_are(default):
    images = pixels()
    default(images)
    assert torch.equal(images, pixels())


@pytest.mark.parametrize("kind", ["pth", "wrapped", "safetensors"])
def test_weights_can_come_from_a_file(resnet, tmp_path, kind):
    weights, path = resnet.state_dict(), tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if kind == "wrapped" else weights, path)
    kept = Backbone("resnet18", weights=str(path)).state()
    assert set(kept) < set(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in kept.items())


def test_weights_of_other_names_are_refused(resnet, tmp_path):
    weights = resnet.state_dict()
    renamed = {f"tensor{i}": tensor for i, tensor in enumerate(weights.values())}
    torch.save(renamed, tmp_path / "renamed.pth")
    with pytest.raises(WeightsError, match=r"renamed\.pth do not fit the backbone"):
        Backbone("resnet18", weights=str(tmp_path / "renamed.pth"))


def test_weights_of_another_network_are_refused(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match=r"resnet18\.pth do not fit the backbone"):
        Backbone("resnet34", weights=tmp_path / "resnet18.pth")


def test_a_missing_file_is_named():
    with pytest.raises(WeightsError, match=r"nowhere\.pth' cannot be read"):
        Backbone(weights="nowhere.pth")


def test_random_weights_are_those_of_random_state():
    one, same, other = (
        Backbone("resnet18", weights=None, stages=[1], random_state=seed).state()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("way", ["random", "packaged", "file", "state"])
def test_torchs_generator_stays_as_it_is(resnet, tmp_path, default, way):
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    before = torch.get_rng_state()
    if way == "random":
        Backbone("resnet18", weights=None, random_state=5)
    elif way == "packaged":
        Backbone()
    elif way == "file":
        Backbone("resnet18", weights=tmp_path / "weights.pth")
    else:
        Backbone.from_weights(
            default.name, default.state(), [2, 3], default.normalisation, "cpu"
        )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [DEFAULT_BACKBONE, "convnext_atto"])
def test_a_backbone_can_be_rebuilt_from_its_state(name):
    backbone = Backbone(name, weights=None, stages=[1, 2], random_state=3)
    state, normalisation = backbone.state(), Normalisation((0.1,) * 3, (0.7,) * 3)
    assert all(tensor.is_contiguous() for tensor in state.values())
    same = Backbone.from_weights(name, state, [1, 2], backbone.normalisation, "cpu")
    assert (same.name, same.stages, same.device) == (name, backbone.stages, "cpu")
    for stage, again in zip(backbone(pixels()), same(pixels()), strict=True):
        assert torch.equal(stage, again)
    assert all(torch.equal(tensor, state[k]) for k, tensor in same.state().items())
    other = Backbone.from_weights(name, state, [1, 2], normalisation, "cpu")
    assert other.normalisation == normalisation
    assert not torch.equal(other(pixels())[0], backbone(pixels())[0])


def test_a_state_that_does_not_fit_is_refused(default):
    state = default.state()
    state.pop(next(iter(state)))
    with pytest.raises(WeightsError, match="from a model file do not fit"):
        Backbone.from_weights(default.name, state, [2, 3], default.normalisation, "cpu")


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("wide_resnet50", "wide_resnet50_2"),
        ("efficientnet_lite", "efficientnet_lite0"),
        ("resnet5O", "resnet50"),
    ],
)
@pytest.mark.parametrize("weights", ["pretrained", None])
def test_an_unknown_name_is_refused_with_close_ones(name, close, weights):
    with pytest.raises(ValueError, match=rf"got '{name}'\. Close names:.*\b{close}\b"):
        Backbone(name, weights=weights)


@pytest.mark.parametrize("weights", ["pretrained", None])
def test_an_unknown_tag_is_refused_with_the_known_ones(weights):
    known = r"got 'resnet18\.no_such_weights'.*no_such_weights"
    with pytest.raises(ValueError, match=known):
        Backbone("resnet18.no_such_weights", weights=weights)


def test_a_name_unlike_any_other_is_refused():
    with pytest.raises(ValueError, match=r"of Backbone .*got 'qqqqqqqqqqqq'"):
        Backbone("qqqqqqqqqqqq")


@pytest.mark.parametrize(
    ("stages", "came"),
    [
        ([2, 9], r"got \[2, 9\]"),
        ([], r"got \[\]"),
        ([2, 2], r"got \[2, 2\]"),
        ([-1], r"got \[-1\]"),
    ],
)
def test_stages_that_are_not_there_are_refused(stages, came):
    offers = r"resnet18, which offers 0 \(stride 2\), .*4 \(stride 32\)"
    with pytest.raises(ValueError, match=rf"stages of Backbone .*{offers}; {came}"):
        Backbone("resnet18", weights=None, stages=stages)


def test_a_network_without_strides_8_and_16_is_refused():
    with pytest.raises(ValueError, match="got None, the strides 8 and 16"):
        Backbone("efficientvit_m0", weights=None)


def test_an_unreachable_hub_names_the_default_backbone(monkeypatch):
    create_model = timm.create_model

    def unreachable(name, pretrained=False, **settings):
        if pretrained:
            raise ConnectionError("no route to the hub")
        return create_model(name, pretrained=False, **settings)

    monkeypatch.setattr(timm, "create_model", unreachable)
    message = rf"'resnet18'.*no route to the hub.*weights=PATH.*'{DEFAULT_BACKBONE}'"
    with pytest.raises(WeightsError, match=message):
        Backbone("resnet18")
    assert len(Backbone().stages) == 2  # which needs no hub


def test_the_hub_is_asked_for_what_pip_does_not_ship(monkeypatch, resnet):
    create_model = timm.create_model

    def reachable(name, pretrained=False, **settings):
        network = create_model(name, pretrained=False, **settings)
        if pretrained:
            network.load_state_dict(resnet.state_dict())
        return network

    monkeypatch.setattr(timm, "create_model", reachable)
    state = Backbone("resnet18").state()
    assert torch.equal(state["conv1.weight"], resnet.conv1.weight)


@pytest.mark.parametrize("size", [32, 50])
def test_maps_round_up_where_images_are_no_multiple_of_the_stride(default, size):
    maps = default(pixels(1, size, size))
    assert [stage.shape[-1] for stage in maps] == [math.ceil(size / s) for s in (8, 16)]
