"""How good scores, maps and thresholds are, and how sure one can be of it.

Arrays only: labels are 0 (normal) and 1 (anomalous), scores and maps are higher for
stranger images and pixels.
"""

from adlib.metrics._aggregations import (
    MAP_AGGREGATIONS,
    AggregationRow,
    MapAggregation,
    aggregate_maps,
    compare_aggregations,
    top_mean_scores,
)
from adlib.metrics._aupimo import Aupimo, compute_aupimo
from adlib.metrics._bootstrap import bootstrap_interval, bootstrap_interval_of
from adlib.metrics._breakdown import (
    Group,
    by_defect_size,
    by_position,
    mask_area_ratio,
    per_defect_type,
    touches_border,
)
from adlib.metrics._conformal import (
    RateInterval,
    conformal_rate_interval,
    conformal_threshold,
    lowest_rate,
)
from adlib.metrics._curves import (
    PrecisionRecallCurve,
    RocCurve,
    precision_recall_curve,
    roc_curve,
)
from adlib.metrics._delong import PairedTest, delong_interval, delong_test
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
from adlib.metrics._paired_tests import (
    Correction,
    corrected_p_values,
    paired_permutation_test,
    paired_t_test,
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
from adlib.metrics._pixel_thresholds import pixel_threshold, pixel_threshold_per_image
from adlib.metrics._probabilities import ProbabilityMethod, fit_probabilities
from adlib.metrics._probability_maps import IsotonicMap, LogisticMap, ProbabilityMap
from adlib.metrics._reliability import (
    Bins,
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    reliability,
)
from adlib.metrics._resampling import Interval
from adlib.metrics._threshold_comparison import (
    ThresholdRow,
    ThresholdRule,
    compare_thresholds,
)
from adlib.metrics._threshold_transfer import TransferRule, transfer_threshold
from adlib.metrics._thresholds import (
    calibrate_threshold,
    quantile_threshold,
    sigma_threshold,
)
from adlib.metrics._zone_thresholds import RateOf, ZoneThresholds, zone_thresholds

__all__ = [
    "MAP_AGGREGATIONS",
    "AggregationRow",
    "Aupimo",
    "BestF1",
    "Bins",
    "Confusion",
    "Correction",
    "Group",
    "Interval",
    "IsotonicMap",
    "LogisticMap",
    "MapAggregation",
    "PairedTest",
    "PixelCurves",
    "PixelF1",
    "PrecisionRecallCurve",
    "ProCurve",
    "ProbabilityMap",
    "ProbabilityMethod",
    "RateInterval",
    "RateOf",
    "Rates",
    "ReliabilityCurve",
    "RocCurve",
    "ThresholdRow",
    "ThresholdRule",
    "TransferRule",
    "ZoneThresholds",
    "aggregate_maps",
    "bootstrap_interval",
    "bootstrap_interval_of",
    "brier_score",
    "by_defect_size",
    "by_position",
    "calibrate_threshold",
    "compare_aggregations",
    "compare_thresholds",
    "compute_accuracy_precision_recall",
    "compute_aupimo",
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
    "conformal_rate_interval",
    "conformal_threshold",
    "corrected_p_values",
    "delong_interval",
    "delong_test",
    "expected_calibration_error",
    "fit_probabilities",
    "lowest_rate",
    "mask_area_ratio",
    "paired_permutation_test",
    "paired_t_test",
    "per_defect_type",
    "pixel_threshold",
    "pixel_threshold_per_image",
    "precision_recall_curve",
    "quantile_threshold",
    "reliability",
    "roc_curve",
    "sigma_threshold",
    "top_mean_scores",
    "touches_border",
    "transfer_threshold",
    "zone_thresholds",
]
