"""Data sets as typed records."""

from adlib.datasets._demo_set import demo_root
from adlib.datasets._elpv import (
    CellKind,
    SolarCell,
    elpv_cells,
    elpv_samples,
    split_cells,
)
from adlib.datasets._layouts import Layout, class_names, read_samples
from adlib.datasets._masks import read_mask
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.datasets._splits import (
    CleanSplit,
    create_clean_split,
    load_clean_splits,
    save_clean_splits,
)

__all__ = [
    "ANOMALOUS",
    "NORMAL",
    "CellKind",
    "CleanSplit",
    "Layout",
    "Sample",
    "SolarCell",
    "class_names",
    "create_clean_split",
    "demo_root",
    "elpv_cells",
    "elpv_samples",
    "load_clean_splits",
    "read_mask",
    "read_samples",
    "save_clean_splits",
    "split_cells",
]
