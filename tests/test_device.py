"""Work runs where it is asked to, and nowhere else."""

from __future__ import annotations

import sys

import pytest
import torch

from adlib._device import resolve_device


@pytest.fixture
def gpus(monkeypatch):
    """A function that makes torch show as many CUDA devices as asked."""

    def show(n_devices):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_devices > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)

    return show


def test_the_cpu_is_taken_without_importing_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert resolve_device("cpu", "PatchCore") == "cpu"


@pytest.mark.parametrize(("n_devices", "device"), [(0, "cpu"), (2, "cuda:0")])
def test_auto_takes_the_gpu_only_where_there_is_one(gpus, n_devices, device):
    gpus(n_devices)
    assert resolve_device("auto", "PatchCore") == device


@pytest.mark.parametrize(
    ("asked", "device"), [("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1",) * 2]
)
def test_a_gpu_is_named_by_its_number(gpus, asked, device):
    gpus(2)
    assert resolve_device(asked, "PatchCore") == device


@pytest.mark.parametrize(
    ("asked", "n_devices"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("cuda:10", 2)]
)
def test_a_gpu_that_is_not_there_is_an_error(gpus, asked, n_devices):
    gpus(n_devices)
    fragment = f"shows {n_devices} CUDA devices; got '{asked}'.*device=\"auto\""
    with pytest.raises(ValueError, match=f"device of PatchCore .*{fragment}"):
        resolve_device(asked, "PatchCore")


@pytest.mark.parametrize(
    "asked", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "mps", "", "cpu:0", "cuda\n"]
)
def test_an_unknown_name_is_refused(asked):
    with pytest.raises(ValueError, match='"auto", "cpu", "cuda" or "cuda:N"; got'):
        resolve_device(asked, "PatchCore")


@pytest.mark.parametrize("asked", [None, 0, True])
def test_what_is_no_name_is_refused(asked):
    with pytest.raises(TypeError, match=f"device of PatchCore .*got {asked}"):
        resolve_device(asked, "PatchCore")


def test_a_torch_device_is_refused_by_name():
    with pytest.raises(TypeError, match=r"got device\(type='cpu'\)"):
        resolve_device(torch.device("cpu"), "PatchCore")
