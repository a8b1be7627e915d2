"""Data sets as typed records."""

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
from adlib.datasets._splits import (
    CleanSplit,
    create_clean_split,
    load_clean_splits,
    save_clean_splits,
)
from adlib.datasets._verify import ClassReport, VerifyReport, verify

__all__ = [
    "ANOMALOUS",
    "NORMAL",
    "CellKind",
    "ClassReport",
    "CleanSplit",
    "Downloadable",
    "Layout",
    "Problem",
    "Sample",
    "SolarCell",
    "VerifyReport",
    "class_names",
    "create_clean_split",
    "download",
    "elpv_cells",
    "elpv_samples",
    "license_notice",
    "load_clean_splits",
    "read_mask",
    "read_samples",
    "save_clean_splits",
    "split_cells",
    "verify",
]
