"""Pictures and pages; the only room that draws. Needs the extra ``report``."""

from adlib.report._class_figures import class_figure
from adlib.report._comparison_figures import (
    RatePanel,
    ScatterPoint,
    rate_panels,
    scatter_figure,
)
from adlib.report._condition_figures import (
    FigurePoint,
    ScoreRow,
    domain_figure,
    point_figure,
    result_points,
    score_rows,
)
from adlib.report._confusion_figure import confusion_figure
from adlib.report._curve_figures import (
    Curve,
    precision_recall_figure,
    pro_figure,
    roc_figure,
)
from adlib.report._data_pictures import (
    example_rows,
    light_rows,
    pair_rows,
    part_rows,
)
from adlib.report._demo_page import write_demo_page
from adlib.report._failure_pictures import failure_grid
from adlib.report._figures import save_figure
from adlib.report._interpretation_figures import (
    plane_figure,
    share_figure,
    stage_figure,
)
from adlib.report._map_figures import MapExample, certain_and_uncertain, map_grid
from adlib.report._matrix_figure import Matrix, matrix_figure
from adlib.report._missing import check_report_extra
from adlib.report._neighbour_pictures import explanation_figure, neighbour_figure
from adlib.report._overlay import overlay
from adlib.report._picture_grid import Picture, picture_grid
from adlib.report._run_pictures import comparison_figures, example_grid, run_figures
from adlib.report._saved_overlays import save_overlays
from adlib.report._score_figures import (
    GroupRow,
    breakdown_figure,
    reliability_figure,
    score_figure,
)
from adlib.report.study_report import StudyReport, write_study_report

__all__ = [
    "Curve",
    "FigurePoint",
    "GroupRow",
    "MapExample",
    "Matrix",
    "Picture",
    "RatePanel",
    "ScatterPoint",
    "ScoreRow",
    "StudyReport",
    "breakdown_figure",
    "certain_and_uncertain",
    "check_report_extra",
    "class_figure",
    "comparison_figures",
    "confusion_figure",
    "domain_figure",
    "example_grid",
    "example_rows",
    "explanation_figure",
    "failure_grid",
    "light_rows",
    "map_grid",
    "matrix_figure",
    "neighbour_figure",
    "overlay",
    "pair_rows",
    "part_rows",
    "picture_grid",
    "plane_figure",
    "point_figure",
    "precision_recall_figure",
    "pro_figure",
    "rate_panels",
    "reliability_figure",
    "result_points",
    "roc_figure",
    "run_figures",
    "save_figure",
    "save_overlays",
    "scatter_figure",
    "score_figure",
    "score_rows",
    "share_figure",
    "stage_figure",
    "write_demo_page",
    "write_study_report",
]
