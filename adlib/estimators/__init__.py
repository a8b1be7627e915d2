"""The detectors, what they return, and the model file."""

from adlib.estimators._aggregation import aggregate_maps
from adlib.estimators._base import AnomalyDetector
from adlib.estimators._calibration import Calibration
from adlib.estimators._loading import load
from adlib.estimators._padim import PaDiM
from adlib.estimators._patchcore import PatchCore
from adlib.estimators._results import Explanation, ImageEmbeddings, Inspection
from adlib.estimators._scorers import auroc_scorer
from adlib.estimators._stage_times import STAGES, stage_seconds

__all__ = [
    "STAGES",
    "AnomalyDetector",
    "Calibration",
    "Explanation",
    "ImageEmbeddings",
    "Inspection",
    "PaDiM",
    "PatchCore",
    "aggregate_maps",
    "auroc_scorer",
    "load",
    "stage_seconds",
]
