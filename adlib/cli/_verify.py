"""The command that checks a data set on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from adlib.cli._console import FAILED, Classes, show

if TYPE_CHECKING:
    from adlib.datasets._verify import ClassReport, VerifyReport


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
    show.print(_table(report), crop=False)
    for problem in report.problems:
        text = f"{problem.severity}: {problem.class_name}: {problem.kind}: "
        text += f"{problem.path} {problem.text}. {problem.remedy}"
        show.print(text, soft_wrap=True)
    verdict = "sound" if report.sound else "broken"
    counts = f"{len(report.errors)} errors, {len(report.warnings)} warnings"
    show.print(f"{root} is {verdict}: {counts}.", soft_wrap=True)
    if not report.sound:
        raise typer.Exit(FAILED)


def _table(report: VerifyReport) -> Table:
    rows = [_row(classed, report) for classed in report.classes]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in rows[0]:
        # No word is cut, however narrow the terminal.
        words = " ".join([title, *(row[title] for row in rows)]).split()
        table.add_column(
            title,
            justify="left" if title == "class" else "right",
            min_width=max(map(len, words)),
        )
    for row in rows:
        table.add_row(*map(Text, row.values()))
    return table


def _row(classed: ClassReport, report: VerifyReport) -> dict[str, str]:
    """Return the cells of a class by their columns."""
    sizes = [f"{height}x{width}" for height, width in classed.image_sizes]
    n_problems = sum(p.class_name == classed.class_name for p in report.problems)
    return {
        "class": classed.class_name,
        "train": str(classed.n_train),
        "val": str(classed.n_validation),
        "test good": str(classed.n_test_good),
        "test anomalous": str(classed.n_test_anomalous),
        "defect types": str(len(classed.defect_types)),
        "masks": str(classed.n_masks),
        "image sizes": sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes",
        "problems": str(n_problems),
    }
