"""Tables for people, as text of a fixed width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

WIDTH = 118  # characters; a report's page holds as many


def text_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    n_names: int,
) -> str:
    """Return a table as text.

    Args:
        columns: Headings.
        rows: Cells.
        n_names: So many columns on the left are names; the others are numbers.
    """
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < n_names else "right")
    for row in rows:
        table.add_row(*row)
    text = StringIO()
    Console(file=text, width=WIDTH).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
