"""Arguments and options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OnError(StrEnum):
    """What to do with an image that cannot be used."""

    RAISE = "raise"
    SKIP = "skip"


class Precision(StrEnum):
    """What the backbone computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Runtime(StrEnum):
    """What runs the backbone."""

    TORCH = "torch"
    OPENVINO = "openvino"


ImagePlaces = Annotated[
    list[str],
    typer.Argument(help="Folders of images (read recursively), globs, or files."),
]
ModelFile = Annotated[Path, typer.Argument(help="Model file that `adlib fit` wrote.")]
Device = Annotated[
    str, typer.Option(help="auto (the GPU where there is one), cpu, cuda or cuda:N.")
]
Errors = Annotated[
    OnError,
    typer.Option(help="At an unusable image: stop, or skip it and report."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        help="Classes, one or several, up to the next option or `--`. Default: all.",
    ),
]
