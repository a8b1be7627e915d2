"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

# As in adlib.features, whose import loads torch.
Precision: TypeAlias = Literal["float32", "bfloat16"]
Runtime: TypeAlias = Literal["torch", "openvino"]
ImagePlaces = Annotated[
    list[str],
    typer.Argument(help="Folders of images (read recursively), globs, or files."),
]
ModelFile = Annotated[Path, typer.Argument(help="Model file that `adlib fit` wrote.")]
Device = Annotated[
    str, typer.Option(help="auto (the GPU where there is one), cpu, cuda or cuda:N.")
]
Errors = Annotated[
    Literal["raise", "skip"],
    typer.Option(help="At an unusable image: stop, or skip it and report."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        help="Classes, one or several, up to the next option or `--`. Default: all.",
    ),
]
