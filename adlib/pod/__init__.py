"""What can be found: probability of detection from synthetic defects on good images."""

from adlib.pod._measure import PodReport, PodRow, measure_pod

__all__ = ["PodReport", "PodRow", "measure_pod"]
