"""What every command shares: where it speaks, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector

DONE, FAILED, FOUND_ANOMALIES = 0, 1, 3  # typer ends with 2 on wrong usage
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or skipped "
    "(score --fail-on-anomaly)."
)

tell = Console(stderr=True, highlight=False)


def threshold_text(model: AnomalyDetector) -> str:
    """Say which threshold a model has."""
    if model.threshold_ is None:
        return "no threshold"
    return f"threshold {model.threshold_:.6g}"
