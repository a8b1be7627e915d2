"""What commands share: options, output, exit codes, and the names in errors."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console

DONE, FAILED, FOUND_ANOMALIES = 0, 1, 3  # typer ends with 2 on wrong usage
OUTPUT_CLOSED = 141  # what shells report of a program whose reader has gone
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or skipped "
    "(score --fail-on-anomaly), drift (monitor) or defects that would pass (accept), "
    "141 output closed early, as by head."
)

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

# The options of the library's parameters.
OPTIONS = ["aggregation", "backbone", "coreset", "device", "image_size", "precision"]
OPTIONS += ["runtime", "on_error", "false_positive_rate", "holdout", "leave_one_out"]
OPTIONS += ["least_area", "augment", "contamination", "region", "top_ratio"]
OPTIONS += ["threshold_rule", "review_rate", "resize", "align", "zones", "cache"]
TYPED = {name: "--" + name.replace("_", "-") for name in OPTIONS}
TYPED |= {"random_state": "--seed", "folder": "--overlays"}
TYPED |= {"n_defects": "--defects", "image_sizes": "--sizes"}
TYPED |= {"milliseconds_an_image": "--max-ms", "minutes": "--minutes"}
TYPED |= {"n_good": "--good", "n_anomalous": "--defects", "y": "--good and --defects"}


class Shown(Console):
    """Standard output; ``main`` handles that it was closed early."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")


show = Shown(highlight=False, markup=False)
tell = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def as_typed(text: str) -> str:
    """Replace a parameter's name in an error by its option."""

    def typed(match: re.Match[str]) -> str:
        parameter, owner = match.groups()
        if owner.startswith("--"):
            return str(owner)
        if parameter != "X":
            return TYPED.get(parameter, match[0])
        if owner.endswith(".calibrate"):
            return "The images that set the threshold"
        return "IMAGES"

    text = re.sub(r"^(\w+) of (\S+)(?= must)", typed, text)
    # What a remedy names, as in "hold some out (holdout)".
    return re.sub(r"(?<=\()\w+(?=\))", lambda m: TYPED.get(m[0], m[0]), text)


def is_exported(file: Path) -> bool:
    """Ask whether a file is one that `adlib export` wrote, by its name."""
    return file.suffix == ".onnx"


def file_to_write(text: str, example: str) -> Path:
    """Return the path that --output names, or raise and propose ``example``."""
    from adlib.images._folders import is_image_name

    path = Path(text)
    if text.endswith(("/", os.sep)) or path.is_dir():
        raise ValueError(
            f"--output must be a file; got the folder {text!r}. Pass a file in it, "
            f"such as {str(path / example)!r}."
        )
    if is_image_name(path):
        raise ValueError(
            f"--output must be a file to write; got {text!r}, which is the name of an "
            f"image. Pass another, such as {example!r}."
        )
    return path
