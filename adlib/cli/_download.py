"""The command that downloads a data set, after its terms are accepted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from adlib.cli._console import FAILED, Classes, tell


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
