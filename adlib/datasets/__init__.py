"""Data sets as typed records, their splits, and their shifted copies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adlib.datasets._annotations import annotated_samples
from adlib.datasets._download import download
from adlib.datasets._elpv import elpv_samples
from adlib.datasets._layouts import read_samples
from adlib.datasets._masks import read_mask
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.datasets._shift_settings import ShiftSettings
from adlib.datasets._splits import (
    create_clean_split,
    load_clean_splits,
    load_shifted_splits,
    save_clean_splits,
)
from adlib.datasets._verify import verify

if TYPE_CHECKING:
    from adlib.datasets._demo_set import demo_root
    from adlib.datasets._shift import ShiftDomainTransform, get_shift_transforms
    from adlib.datasets._shifted_set import check_shifted_set, generate_shifted_set
    from adlib.datasets._synthetic import SyntheticDefect, draw_defect
    from adlib.datasets._torch_dataset import MVTecDataset, get_clean_transforms

# Looked up on first use, because they load torch, or SciPy.
_LAZY = {
    "MVTecDataset": "_torch_dataset",
    "ShiftDomainTransform": "_shift",
    "SyntheticDefect": "_synthetic",
    "check_shifted_set": "_shifted_set",
    "demo_root": "_demo_set",
    "draw_defect": "_synthetic",
    "generate_shifted_set": "_shifted_set",
    "get_clean_transforms": "_torch_dataset",
    "get_shift_transforms": "_shift",
}

__all__ = [
    "ANOMALOUS",
    "NORMAL",
    "MVTecDataset",
    "Sample",
    "ShiftDomainTransform",
    "ShiftSettings",
    "SyntheticDefect",
    "annotated_samples",
    "check_shifted_set",
    "create_clean_split",
    "demo_root",
    "download",
    "draw_defect",
    "elpv_samples",
    "generate_shifted_set",
    "get_clean_transforms",
    "get_shift_transforms",
    "load_clean_splits",
    "load_shifted_splits",
    "read_mask",
    "read_samples",
    "save_clean_splits",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
