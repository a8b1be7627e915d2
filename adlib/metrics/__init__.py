"""How good scores, maps and thresholds are, and how sure one can be of it.

Arrays only: labels are 0 (normal) and 1 (anomalous), scores and maps are higher for
stranger images and pixels.
"""

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

__all__ = [
    "BestF1",
    "Confusion",
    "PixelCurves",
    "PixelF1",
    "PrecisionRecallCurve",
    "ProCurve",
    "Rates",
    "RocCurve",
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
