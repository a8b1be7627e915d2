"""The intervals of the study's figures: one kind for each, and its name."""

from __future__ import annotations

from adlib._typing import BoolArray, Float64Array
from adlib.metrics import bootstrap_interval
from adlib.metrics._bootstrap import Interval

N_RESAMPLES = 2000

# What results say of the intervals that they hold.
INTERVALS = {
    "figure": f"stratified BCa bootstrap of {N_RESAMPLES:,} resamples",
    "difference of AUROC": "DeLong's method",
    "other difference": f"percentile bootstrap of {N_RESAMPLES:,} resamples",
    "recall of a group": "Clopper and Pearson's exact method",
}


def auroc_interval(
    anomalous: BoolArray, scores: Float64Array, seed: int = 0
) -> Interval:
    """Return AUROC with its 95 percent interval, as everywhere in the study.

    By the bootstrap, which near 1 describes the lopsided uncertainty better than
    DeLong's method.

    Args:
        anomalous: (n_images,), of both kinds.
        scores: (n_images,) finite.
        seed: Of the bootstrap.
    """
    return bootstrap_interval(
        "auroc", anomalous, scores, n_resamples=N_RESAMPLES, random_state=seed
    )
