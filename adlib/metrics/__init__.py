"""How good scores, maps and thresholds are, and how sure one can be of it.

Arrays only: labels are 0 (normal) and 1 (anomalous), scores and maps are higher for
stranger images and pixels.
"""

from adlib.metrics._bootstrap import bootstrap_interval, bootstrap_interval_of
from adlib.metrics._curves import (
    PrecisionRecallCurve,
    RocCurve,
    precision_recall_curve,
    roc_curve,
)
from adlib.metrics._image_metrics import (
    BestF1,
    Confusion,
    Rates,
    compute_accuracy_precision_recall,
    compute_auprc,
    compute_auroc,
    compute_best_f1,
    compute_confusion,
    compute_f1_at_threshold,
    compute_fpr_at_tpr,
)
from adlib.metrics._pixel_metrics import (
    PixelCurves,
    PixelF1,
    ProCurve,
    compute_pixel_auprc,
    compute_pixel_auroc,
    compute_pixel_f1,
    compute_pro,
)
from adlib.metrics._resampling import Interval

__all__ = [
    "BestF1",
    "Confusion",
    "Interval",
    "PixelCurves",
    "PixelF1",
    "PrecisionRecallCurve",
    "ProCurve",
    "Rates",
    "RocCurve",
    "bootstrap_interval",
    "bootstrap_interval_of",
    "compute_accuracy_precision_recall",
    "compute_auprc",
    "compute_auroc",
    "compute_best_f1",
    "compute_confusion",
    "compute_f1_at_threshold",
    "compute_fpr_at_tpr",
    "compute_pixel_auprc",
    "compute_pixel_auroc",
    "compute_pixel_f1",
    "compute_pro",
    "precision_recall_curve",
    "roc_curve",
]
