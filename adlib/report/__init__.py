"""Pictures and pages; the only room that draws. Needs the extra ``report``."""

from adlib.report._class_figures import class_figure
from adlib.report._data_pictures import (
    example_rows,
    light_rows,
    pair_rows,
    part_rows,
)
from adlib.report._demo_page import write_demo_page
from adlib.report._figures import save_figure
from adlib.report._missing import check_report_extra
from adlib.report._overlay import overlay
from adlib.report._picture_grid import Picture, picture_grid

__all__ = [
    "Picture",
    "check_report_extra",
    "class_figure",
    "example_rows",
    "light_rows",
    "overlay",
    "pair_rows",
    "part_rows",
    "picture_grid",
    "save_figure",
    "write_demo_page",
]
