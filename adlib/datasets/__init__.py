"""Data sets as typed records, their splits, and their shifted twins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adlib.datasets._class_split import ClassSplit
from adlib.datasets._demo_set import demo_root
from adlib.datasets._download import Downloadable, download, license_notice
from adlib.datasets._elpv import (
    CellKind,
    SolarCell,
    elpv_cells,
    elpv_samples,
    split_cells,
)
from adlib.datasets._layouts import Layout, class_names, read_samples
from adlib.datasets._masks import read_mask
from adlib.datasets._problems import Problem
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.datasets._shift_settings import (
    GEOMETRIC,
    PARTS,
    PHOTOMETRIC,
    SEVERITIES,
    Severity,
    ShiftSettings,
)
from adlib.datasets._splits import (
    CleanSplit,
    classes_with_splits,
    create_clean_split,
    load_clean_splits,
    save_clean_splits,
)
from adlib.datasets._verify import ClassReport, VerifyReport, verify

if TYPE_CHECKING:
    from adlib.datasets._shift import (
        LightGradient,
        Shift,
        ShiftDomainTransform,
        get_shift_transforms,
    )
    from adlib.datasets._shift_pixels import LIGHTS
    from adlib.datasets._shifted_set import generate_shifted_set
    from adlib.datasets._shifted_splits import (
        ShiftedSplit,
        check_shifted_set,
        load_shifted_splits,
    )
    from adlib.datasets._torch_dataset import UNKNOWN, MVTecDataset
    from adlib.datasets._transforms import Chain, get_clean_transforms

# Looked up on first use, because they load torch.
_LAZY = {
    "LIGHTS": "_shift_pixels",
    "UNKNOWN": "_torch_dataset",
    "Chain": "_transforms",
    "LightGradient": "_shift",
    "MVTecDataset": "_torch_dataset",
    "Shift": "_shift",
    "ShiftDomainTransform": "_shift",
    "ShiftedSplit": "_shifted_splits",
    "check_shifted_set": "_shifted_splits",
    "generate_shifted_set": "_shifted_set",
    "get_clean_transforms": "_transforms",
    "get_shift_transforms": "_shift",
    "load_shifted_splits": "_shifted_splits",
}

__all__ = [
    "ANOMALOUS",
    "GEOMETRIC",
    "LIGHTS",
    "NORMAL",
    "PARTS",
    "PHOTOMETRIC",
    "SEVERITIES",
    "UNKNOWN",
    "CellKind",
    "Chain",
    "ClassReport",
    "ClassSplit",
    "CleanSplit",
    "Downloadable",
    "Layout",
    "LightGradient",
    "MVTecDataset",
    "Problem",
    "Sample",
    "Severity",
    "Shift",
    "ShiftDomainTransform",
    "ShiftSettings",
    "ShiftedSplit",
    "SolarCell",
    "VerifyReport",
    "check_shifted_set",
    "class_names",
    "classes_with_splits",
    "create_clean_split",
    "demo_root",
    "download",
    "elpv_cells",
    "elpv_samples",
    "generate_shifted_set",
    "get_clean_transforms",
    "get_shift_transforms",
    "license_notice",
    "load_clean_splits",
    "load_shifted_splits",
    "read_mask",
    "read_samples",
    "save_clean_splits",
    "split_cells",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
