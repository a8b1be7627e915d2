"""What can be found: probability of detection from synthetic defects on good images."""

from adlib.pod._measure import PodReport, PodRow, measure_pod
from adlib.pod._tune import Advice, Setting, tune

__all__ = ["Advice", "PodReport", "PodRow", "Setting", "measure_pod", "tune"]
