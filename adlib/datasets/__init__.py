"""Data sets as typed records."""

from adlib.datasets._elpv import CellKind, SolarCell, elpv_cells

__all__ = ["CellKind", "SolarCell", "elpv_cells"]
