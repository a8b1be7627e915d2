"""Model files, damaged or forged: an error of adlib's own, or a model that scores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

import adlib
from adlib.estimators._model_file import METADATA_KEY
from adlib.exceptions import ModelFileError
from tests.robustness.fuzz_models import (
    draw_damage,
    originals,
    outcome,
    parts_of,
    signed,
)

WHOLE = originals()[1]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_no_damage_does_worse_than_an_error(seed, tmp_path):
    _, content = draw_damage(seed)
    assert outcome(content, tmp_path / "damaged.adlib")


def test_a_forged_file_with_a_fitting_checksum_is_read(tmp_path):
    header, tensors = parts_of(WHOLE)
    header["state"]["threshold"] = 0.125
    (tmp_path / "forged.adlib").write_bytes(signed(header, tensors))
    assert adlib.load(tmp_path / "forged.adlib", device="cpu").threshold_ == 0.125


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" + "[]," * 300_000 + "[]]", "[" * 900_000])
def test_a_header_takes_no_more_memory_than_is_stated(text, tmp_path):
    path = tmp_path / "bomb.adlib"
    path.write_bytes(save({"a": np.zeros(1)}, {METADATA_KEY: text}))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="damaged header"):
            adlib.load(path, device="cpu")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * path.stat().st_size


@pytest.mark.slow
def test_the_name_of_a_huge_network_takes_no_memory_for_it(tmp_path):
    header, tensors = parts_of(WHOLE)
    header["parameters"]["backbone"] = "convnext_xxlarge"  # 3.4 GB of weights
    (tmp_path / "huge.adlib").write_bytes(signed(header, tensors))
    before = peak_bytes()
    with pytest.raises(ModelFileError, match="damaged"):
        adlib.load(tmp_path / "huge.adlib", device="cpu")
    assert peak_bytes() - before < 300_000_000


def peak_bytes():
    resource = pytest.importorskip("resource")
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
