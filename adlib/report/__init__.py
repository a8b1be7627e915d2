"""Figures of the study's tables, and its report. Needs the extra ``report``."""

try:
    from adlib.report._figures import (
        confusion_figure,
        curve_figure,
        matrix_figure,
        metric_figure,
        scatter_figure,
        score_figure,
    )
    from adlib.report._pictures import explanation_figure, picture_grid
    from adlib.report._study_report import write_study_report
    from adlib.report._style import save_figure
except ModuleNotFoundError as error:
    raise ImportError(
        f"adlib.report needs the package {error.name!r}. "
        'Run: pip install "adlib-vision[report]"'
    ) from error

__all__ = [
    "confusion_figure",
    "curve_figure",
    "explanation_figure",
    "matrix_figure",
    "metric_figure",
    "picture_grid",
    "save_figure",
    "scatter_figure",
    "score_figure",
    "write_study_report",
]
