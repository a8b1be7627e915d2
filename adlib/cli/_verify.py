"""The command that looks through a data set on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adlib.cli._console import FAILED
from adlib.cli._options import Classes

if TYPE_CHECKING:
    from adlib.datasets import ClassReport, VerifyReport

COLUMNS = (
    "class",
    "train",
    "val",
    "test good",
    "test anomalous",
    "defect types",
    "masks",
    "image sizes",
    "problems",
)


def verify(
    root: Annotated[
        Path, typer.Argument(help="Folder that holds a folder for each class.")
    ],
    classes: Classes = None,
) -> None:
    """Read every image and mask of a data set, and say what is wrong and what mends it.

    Knows the layouts of MVTec AD, MVTec LOCO, MVTec AD 2, VisA and BTAD, and a plain
    folder of good/ and others. Ends with 1 if there are errors; warnings alone do not
    count. Image sizes are height x width.

    Example: adlib data verify data/raw/mvtec_ad --classes hazelnut carpet
    """
    from adlib import datasets

    report = datasets.verify(root, classes)
    out = Console(highlight=False)
    out.print(_table(report), crop=False)
    for problem in report.problems:
        out.print(
            f"{problem.severity}: {problem.class_name}: {problem.kind}: {problem.path} "
            f"{problem.text}. {problem.remedy}",
            markup=False,
            soft_wrap=True,
        )
    verdict = "sound" if report.sound else "broken"
    counts = f"{len(report.errors)} errors, {len(report.warnings)} warnings"
    out.print(f"{root} is {verdict}: {counts}.", markup=False, soft_wrap=True)
    if not report.sound:
        raise typer.Exit(FAILED)


def _table(report: VerifyReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    longest = max((len(row.class_name) for row in report.classes), default=0)
    for title in COLUMNS:
        # No word and no name is cut, however narrow the terminal.
        table.add_column(
            title,
            justify="left" if title == "class" else "right",
            min_width=max(map(len, title.split())) if title != "class" else longest,
        )
    for row in report.classes:
        n_problems = sum(p.class_name == row.class_name for p in report.problems)
        counts = (
            row.n_train,
            row.n_validation,
            row.n_test_good,
            row.n_test_anomalous,
            len(row.defect_types),
            row.n_masks,
        )
        table.add_row(
            Text(row.class_name), *map(str, counts), _sizes(row), str(n_problems)
        )
    return table


def _sizes(row: ClassReport) -> str:
    if len(row.image_sizes) == 1:
        return "{}x{}".format(*row.image_sizes[0])
    return f"{len(row.image_sizes)} sizes"
