"""The detectors, what they return, and the model file."""

from adlib._inspection import Inspection
from adlib.estimators._acceptance import Acceptance, AcceptedImage
from adlib.estimators._aggregation import aggregate_maps
from adlib.estimators._calibration import Calibration
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._estimate import FitEstimate
from adlib.estimators._examination import Examination, NearDuplicates, StandOut
from adlib.estimators._labels import auroc_scorer
from adlib.estimators._padim import PaDiM
from adlib.estimators._patchcore import PatchCore
from adlib.estimators._regions import Region, find_regions
from adlib.estimators._results import Explanation, ImageEmbeddings
from adlib.estimators._saving import load
from adlib.estimators._stage_times import stage_seconds
from adlib.estimators._zones import Zones

__all__ = [
    "Acceptance",
    "AcceptedImage",
    "AnomalyDetector",
    "Calibration",
    "Examination",
    "Explanation",
    "FitEstimate",
    "ImageEmbeddings",
    "Inspection",
    "NearDuplicates",
    "PaDiM",
    "PatchCore",
    "Region",
    "StandOut",
    "Zones",
    "aggregate_maps",
    "auroc_scorer",
    "find_regions",
    "load",
    "stage_seconds",
]
