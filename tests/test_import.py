"""Importing adlib is quick: what is heavy is loaded on first use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import adlib
from adlib.estimators import PatchCore, load

HEAVY = {
    "anomalib",
    "faiss",
    "lightning",
    "matplotlib",
    "numba",
    "openvino",
    "skimage",
    "sklearn",
    "timm",
    "torch",
}


@pytest.mark.parametrize("module", ["adlib", "adlib.cli"])
def test_importing_loads_nothing_heavy(module):
    code = f"import {module}, json, sys; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert "adlib" in loaded
    assert not loaded & HEAVY


def test_lazy_names_are_the_real_objects():
    assert adlib.PatchCore is PatchCore
    assert adlib.load is load


def test_all_names_exist_and_dir_lists_them():
    assert set(adlib.__all__) == {
        "PaDiM",
        "PatchCore",
        "__version__",
        "load",
    }
    assert sorted(dir(adlib)) == sorted(adlib.__all__)
    assert all(hasattr(adlib, name) for name in adlib.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="'adlib' has no attribute 'PaintCore'"):
        _ = adlib.PaintCore
