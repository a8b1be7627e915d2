"""What every command shares: where it speaks, and how it ends."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector

DONE, FAILED, FOUND_ANOMALIES = 0, 1, 3  # typer ends with 2 on wrong usage
OUTPUT_CLOSED = 141  # what shells report of a program whose reader has gone
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or skipped "
    "(score --fail-on-anomaly), 141 output closed early, as by head."
)


class Shown(Console):
    """Standard output; that it was closed early is left to ``main``."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")


show = Shown(highlight=False)
tell = Console(stderr=True, highlight=False)


@contextmanager
def naming(**names: str) -> Iterator[None]:
    """Let an error name what was typed, not "coreset of PatchCore".

    Args:
        names: What stands for a parameter; without, the option of the same name does.
    """

    def typed(found: re.Match[str]) -> str:
        return names.get(found[1], "--" + found[1].replace("_", "-"))

    try:
        yield
    except (TypeError, ValueError) as error:
        text = re.sub(r"\b(\w+) of [\w. ]+?(?= must)", typed, str(error), count=1)
        if text == str(error):
            raise
        raise type(error)(text) from error


def threshold_text(model: AnomalyDetector) -> str:
    """Say which threshold a model has."""
    if model.threshold_ is None:
        return "no threshold"
    return f"threshold {model.threshold_:.6g}"


def file_to_write(text: str, example: str) -> Path:
    """Return the path that --output names, or raise before any work.

    Args:
        text: What was typed.
        example: A file name to propose.
    """
    from adlib.images import SUFFIXES

    path = Path(text)
    if text.endswith(("/", os.sep)) or path.is_dir():
        raise ValueError(
            f"--output must be a file; got the folder {text!r}. Pass a file in it, "
            f"such as {str(path / example)!r}."
        )
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"--output must be a file to write; got {text!r}, which is the name of an "
            f"image. Pass another, such as {example!r}."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist.")
    return path
