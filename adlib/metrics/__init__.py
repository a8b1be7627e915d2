"""How good scores, maps and thresholds are, and how sure one can be of it.

Arrays only: labels are 0 (normal) and 1 (anomalous), scores and maps are higher for
stranger images and pixels.
"""

from adlib.metrics._conformal import (
    RateInterval,
    conformal_rate_interval,
    conformal_threshold,
    lowest_rate,
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
from adlib.metrics._thresholds import (
    calibrate_threshold,
    quantile_threshold,
    sigma_threshold,
)

__all__ = [
    "PixelCurves",
    "PixelF1",
    "ProCurve",
    "RateInterval",
    "calibrate_threshold",
    "compute_pixel_auprc",
    "compute_pixel_auroc",
    "compute_pixel_f1",
    "compute_pro",
    "conformal_rate_interval",
    "conformal_threshold",
    "lowest_rate",
    "quantile_threshold",
    "sigma_threshold",
]
