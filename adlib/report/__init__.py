"""Pictures and pages; the only room that draws. Needs the extra ``report``."""

from adlib.report._demo_page import write_demo_page
from adlib.report._missing import check_report_extra
from adlib.report._overlay import overlay

__all__ = ["check_report_extra", "overlay", "write_demo_page"]
