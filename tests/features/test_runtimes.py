"""Every runtime and precision gives the maps of torch float32, as near as it states."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import get_args

import pytest
import torch

from adlib.features import Backbone
from adlib.features._backbone import Precision, Runtime
from adlib.features._runtimes import TorchRuntime, import_openvino, send
from tests.features.test_backbone import pixels, skip_without_stages

WAYS = [
    {"runtime": runtime, "precision": precision}
    for runtime in get_args(Runtime)
    for precision in get_args(Precision)
]


def openvino_or_skip():
    """Return openvino, imported as adlib does it."""
    try:
        return import_openvino()
    except ImportError as error:
        pytest.skip(str(error))


def runs_here(way):
    """Skip what this machine's packages or processor cannot run."""
    if way["runtime"] == "openvino":
        core = openvino_or_skip().Core()
        abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if way["precision"] == "bfloat16" and "BF16" not in abilities:
            pytest.skip("the processor has no bfloat16 instructions")


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(way.values()), scope="module")
def way(request):
    runs_here(request.param)
    return request.param


@pytest.fixture(scope="module")
def backbone(way):
    return Backbone(**way)


@pytest.fixture(scope="module")
def plain():
    return Backbone()


def test_maps_are_those_of_torch_float32(way, backbone, plain):
    largest = 2e-5 if way["precision"] == "float32" else 0.1
    for found, expected in zip(backbone(pixels()), plain(pixels()), strict=True):
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        assert (found - expected).norm() <= largest * expected.norm()


@pytest.mark.parametrize(
    "shape", [(64, 64), pytest.param((97, 65), marks=pytest.mark.slow)]
)
def test_what_an_image_gives_does_not_depend_on_its_batch(backbone, shape):
    images = pixels(5, *shape)
    together = backbone(images)
    for part in (slice(0, 1), slice(1, 3), slice(3, 5)):
        for stage, whole in zip(backbone(images[part]), together, strict=True):
            assert torch.equal(stage, whole[part])


def test_what_is_saved_is_timms_float32(backbone, plain):
    state, expected = backbone.state(), plain.state()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor)
        assert state[name].dtype == tensor.dtype


@pytest.mark.slow
def test_networks_that_keep_norms_run_in_every_way(way):
    skip_without_stages("densenet121")
    given = {"weights": None, "stages": [1], "random_state": 0}
    expected = Backbone("densenet121", **given)(pixels(1))[0]
    found = Backbone("densenet121", **given, **way)(pixels(1))[0]
    largest = 1e-4 if way["precision"] == "float32" else 0.1
    assert (found - expected).norm() <= largest * expected.norm()


def test_without_openvino_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'adlib-vision\[openvino\]'"):
        Backbone(weights=None, runtime="openvino")


def test_bfloat16_that_the_processor_lacks_is_refused(monkeypatch):
    openvino = openvino_or_skip()
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    message = "needs a processor with bfloat16 instructions; this one has FP32"
    with pytest.raises(ValueError, match=message):
        Backbone(weights=None, runtime="openvino", precision="bfloat16")


@pytest.mark.slow
def test_openvino_reports_to_nobody():
    openvino_or_skip()
    code = (
        "import sys, torch; from adlib.features import Backbone; "
        "Backbone(weights=None, runtime='openvino')(torch.zeros(1, 3, 32, 32)); "
        "assert 'openvino' in sys.modules; "
        "assert not [name for name in sys.modules if 'openvino_telemetry' in name]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_filters_of_warnings_stay_as_they_are():
    openvino_or_skip()
    before = list(warnings.filters)
    Backbone(weights=None, runtime="openvino")(pixels(1, 32, 32))
    assert warnings.filters == before


def test_a_gpu_is_sent_page_locked_batches_whole(monkeypatch):
    """Follow the shapes of the GPU's path on torch's "meta", which computes nothing."""
    pinned = []

    def pin_memory(images):
        pinned.append(images)
        return images

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    batches = []

    class Network(torch.nn.Module):
        def forward(self, images):
            batches.append(images)
            return (images[:, :1],)

    images = pixels(4)
    sent = send(images, "meta")
    assert pinned[0] is images
    assert sent.is_contiguous(memory_format=torch.channels_last)
    (stage,) = TorchRuntime(Network(), "meta", "bfloat16")(sent)
    assert [batch.shape for batch in batches] == [(4, 3, 64, 64)]
    assert batches[0].dtype == torch.bfloat16
    assert (stage.shape, stage.dtype) == ((4, 1, 64, 64), torch.float32)
    assert stage.device.type == "meta"
