"""Metrics of scores, labels and anomaly maps, their intervals and tests.

Arrays only: labels are 0 (normal) and 1 (anomalous); scores and maps are higher where
more anomalous. Thresholds are in ``adlib.thresholds``.
"""

from adlib.metrics._aupimo import aupimo
from adlib.metrics._bootstrap import bootstrap_interval
from adlib.metrics._breakdown import Group, per_defect_type
from adlib.metrics._drift import DriftMonitor
from adlib.metrics._image_metrics import (
    best_f1,
    compute_accuracy_precision_recall,
    compute_auprc,
    compute_auroc,
    compute_f1_at_threshold,
    fpr_at_tpr,
)
from adlib.metrics._paired_tests import (
    PairedTest,
    delong_interval,
    delong_test,
    paired_permutation_test,
)
from adlib.metrics._pixel_metrics import PixelCurves, compute_pixel_auroc, compute_pro
from adlib.metrics._pod import PodCurve, fit_pod
from adlib.metrics._probabilities import fit_probabilities

__all__ = [
    "DriftMonitor",
    "Group",
    "PairedTest",
    "PixelCurves",
    "PodCurve",
    "aupimo",
    "best_f1",
    "bootstrap_interval",
    "compute_accuracy_precision_recall",
    "compute_auprc",
    "compute_auroc",
    "compute_f1_at_threshold",
    "compute_pixel_auroc",
    "compute_pro",
    "delong_interval",
    "delong_test",
    "fit_pod",
    "fit_probabilities",
    "fpr_at_tpr",
    "paired_permutation_test",
    "per_defect_type",
]
