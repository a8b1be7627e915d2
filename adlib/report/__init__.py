"""Pictures and pages; the only package that draws. Needs the extra ``report``."""

from adlib.report._demo_page import write_demo_page
from adlib.report._figures import (
    confusion_figure,
    curve_figure,
    matrix_figure,
    metric_figure,
    scatter_figure,
    score_figure,
)
from adlib.report._missing import check_report_extra
from adlib.report._overlay import overlay
from adlib.report._pictures import explanation_figure, picture_grid
from adlib.report._saved_overlays import save_overlays
from adlib.report._study_report import write_study_report
from adlib.report._style import save_figure

__all__ = [
    "check_report_extra",
    "confusion_figure",
    "curve_figure",
    "explanation_figure",
    "matrix_figure",
    "metric_figure",
    "overlay",
    "picture_grid",
    "save_figure",
    "save_overlays",
    "scatter_figure",
    "score_figure",
    "write_demo_page",
    "write_study_report",
]
