"""Folding leaves what a network computes as it is, and only takes norms away."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adlib.features import Backbone, _folding
from adlib.features._backbone import _StageReader
from adlib.features._folding import folded
from tests.features.test_backbone import network_of, skip_without_stages


def n_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


class Small(nn.Module):
    """One convolution and one norm, read as each case says."""

    def __init__(self, forward):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.activation = nn.ReLU(inplace=True)
        self.case = forward

    def forward(self, images):
        return self.case(self, images)


FOLDS = {
    "plain": lambda self, x: (self.norm(self.convolution(x)),),
    "input kept": lambda self, x: (self.norm(self.convolution(x)), x),
}
STAYS = {
    "output read twice": lambda self, x: (
        self.norm(read := self.convolution(x)) + read,
    ),
    "output returned": lambda self, x: (read := self.convolution(x), self.norm(read)),
    "output joined": lambda self, x: (
        torch.cat([read := self.convolution(x), self.norm(read)]),
    ),
    "activation between": lambda self, x: (
        self.norm(self.activation(self.convolution(x))),
    ),
    "convolution runs twice": lambda self, x: (
        self.norm(self.convolution(x)),
        self.convolution(x + 1),
    ),
    "norm runs twice": lambda self, x: (self.norm(self.norm(self.convolution(x))),),
    "other weights": lambda self, x: (
        self.norm(nn.functional.conv2d(x, self.convolution.weight * 2)),
    ),
}


def case(forward):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    network = Small(forward).double().eval()
    network.norm.running_mean.uniform_(-1, 1)
    network.norm.running_var.uniform_(0.5, 2)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.random.set_rng_state(torch_state)
    return network, images


@pytest.mark.parametrize("name", [*FOLDS, *STAYS])
def test_a_norm_is_folded_only_where_nothing_else_reads(name):
    network, images = case((FOLDS | STAYS)[name])
    changed = folded(network, name, (8, 8))
    assert n_norms(changed) == (0 if name in FOLDS else 1)
    assert n_norms(network) == 1
    with torch.inference_mode():
        for found, expected in zip(changed(images), network(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_pairs_are_found_once_for_a_name_and_its_modules(monkeypatch):
    network, images = case(FOLDS["plain"])
    folded(network, "once", (8, 8))
    other, _ = case(FOLDS["plain"])
    other.norm = nn.BatchNorm2d(4).double().eval()
    with monkeypatch.context() as changes:
        changes.setattr(_folding, "_pairs", None)
        again = folded(other, "once", (8, 8))
    with torch.inference_mode():
        found, expected = again(images)[0], other(images)[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    other.case, other.activation = STAYS["norm runs twice"], nn.Identity()
    assert n_norms(folded(other, "once", (8, 8))) == 1  # other modules: found anew


def test_a_norm_of_a_kind_that_is_not_known_stays():
    class Doubling(nn.BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    network, images = case(FOLDS["plain"])
    network.norm = Doubling(4).double().eval()
    changed = folded(network, "doubling", (8, 8))
    assert n_norms(changed) == 1
    with torch.inference_mode():
        assert torch.equal(changed(images)[0], network(images)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_left"),
    [
        ("tf_efficientnet_lite0", 0),  # norms with activations, "same" padding
        ("resnet18", 0),
        ("wide_resnet50_2", 0),
        ("mobilenetv3_small_100", 0),
        ("convnext_atto", 0),  # which has no batch norm
        ("densenet121", 44),  # half of whose norms come before their convolution
    ],
)
def test_timms_networks_give_the_same_maps(name, n_left):
    skip_without_stages(name)
    backbone = Backbone(name, weights=None)
    whole = network_of(name)
    state = whole.state_dict()
    backbone._network.load_state_dict(
        {key: state[key] for key in backbone._network.state_dict()}
    )
    indices = [stage.index for stage in backbone.stages]
    network = _StageReader(backbone._network, indices).double().eval()
    changed = folded(network, name, (64, 64))
    assert n_norms(changed) == n_left
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 64, 96, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        for found, expected in zip(changed(images), network(images), strict=True):
            largest = expected.abs().max()
            assert (found - expected).abs().max() <= 1e-11 * largest
