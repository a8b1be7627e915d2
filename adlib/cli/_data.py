"""The commands for data sets: one downloads, the other checks what is on disk."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from adlib.cli._console import FAILED, show, tell

Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        help="Classes, one or several, up to the next option or `--`. Default: all.",
    ),
]


def download(
    dataset: Annotated[Literal["mvtec-ad"], typer.Argument(help="Which data set.")],
    classes: Classes = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder that gets one for each class. Default: data/raw/mvtec_ad.",
        ),
    ] = None,
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-license", help="Accept the terms shown, without being asked."
        ),
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option(
            envvar="ADLIB_BASE_URL",
            help="A mirror that has BASE_URL/<class>.tar.xz. Default: the publisher.",
        ),
    ] = None,
) -> None:
    """Download classes of a data set; an interrupted download is resumed.

    The terms are shown first. Classes that exist already are not changed.

    Example: adlib data download mvtec-ad --classes hazelnut carpet zipper
    """
    from adlib import datasets
    from adlib.datasets._mvtec_ad import NOTICE

    tell.print(NOTICE, markup=False, soft_wrap=True)
    if not accept_license:
        if not sys.stdin.isatty():
            raise ValueError(
                "The terms must be accepted, and there is no terminal to ask at. Pass "
                "--accept-license to accept them."
            )
        if not typer.confirm("\nDo you accept these terms?", err=True):
            tell.print("Nothing was downloaded.")
            raise typer.Exit(FAILED)
    root = output or Path("data", "raw", dataset.replace("-", "_"))
    datasets.download(
        dataset,
        root,
        classes,
        accept_license=True,
        base_url=base_url,
        say=tell.print,
    )
    tell.print(f"The classes are in {root}.")


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
