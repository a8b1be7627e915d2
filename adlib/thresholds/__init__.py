"""Thresholds: from scores or maps to what is predicted anomalous, and at which rate.

Above a threshold, not at it, an image or a pixel is predicted anomalous.
"""

from adlib.thresholds._conformal import (
    conformal_rate_interval,
    conformal_threshold,
    lowest_rate,
)
from adlib.thresholds._log_normal import log_normal_threshold
from adlib.thresholds._plan import CalibrationPlan, plan_calibration
from adlib.thresholds._scores import (
    calibrate_threshold,
    compare_thresholds,
    quantile_threshold,
    sigma_threshold,
    transfer_threshold,
)
from adlib.thresholds._zones import zone_thresholds

__all__ = [
    "CalibrationPlan",
    "calibrate_threshold",
    "compare_thresholds",
    "conformal_rate_interval",
    "conformal_threshold",
    "log_normal_threshold",
    "lowest_rate",
    "plan_calibration",
    "quantile_threshold",
    "sigma_threshold",
    "transfer_threshold",
    "zone_thresholds",
]
