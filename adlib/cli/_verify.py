"""The command that checks a data set on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from adlib.cli._console import FAILED, Classes, show


def verify(
    root: Annotated[
        Path, typer.Argument(help="Folder that holds a folder for each class.")
    ],
    classes: Classes = None,
) -> None:
    """Read every image and mask of a data set; list problems and their remedies.

    Knows the layouts of MVTec AD, MVTec LOCO, MVTec AD 2, VisA and BTAD, and a plain
    folder of good/ and others. The exit code is 1 if there are errors, not if there are
    only warnings. Image sizes are height x width.

    Example: adlib data verify data/raw/mvtec_ad --classes hazelnut carpet
    """
    from adlib import datasets

    report = datasets.verify(root, classes)
    show.print(_table(report.classes), crop=False)
    for problem in report.problems:
        text = f"{problem.severity}: {problem.class_name}: {problem.kind}: "
        text += f"{problem.path} {problem.text}. {problem.remedy}"
        show.print(text, soft_wrap=True)
    verdict = "sound" if report.sound else "broken"
    n_found = Counter(problem.severity for problem in report.problems)
    counts = f"{n_found['error']} errors, {n_found['warning']} warnings"
    show.print(f"{root} is {verdict}: {counts}.", soft_wrap=True)
    if not report.sound:
        raise typer.Exit(FAILED)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in rows[0]:
        # No word is cut, however narrow the terminal.
        words = " ".join([title, *(str(row[title]) for row in rows)]).split()
        table.add_column(
            title,
            justify="left" if title == "class" else "right",
            min_width=max(map(len, words)),
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row.values()))
    return table
