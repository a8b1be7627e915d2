"""Pictures and pages; the only room that draws. Needs the extra ``report``."""

from adlib.report._demo_page import write_demo_page
from adlib.report._overlay import overlay

__all__ = ["overlay", "write_demo_page"]
