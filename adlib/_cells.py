"""Cells of tables that spreadsheets open."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # how spreadsheets' formulas begin


def text_cell(text: object) -> str:
    """Return the text of a cell that spreadsheets do not read as a formula.

    Paths, with which errors begin too, mean the same after "./". None is empty.
    """
    cell = "" if text is None else str(text)
    return f"./{cell}" if cell.startswith(FORMULAS) else cell


def number_cell(value: float | None) -> str:
    """Return a number to six digits, or nothing for None."""
    return "" if value is None else f"{value:.6g}"
