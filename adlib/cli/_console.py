"""What every command shares: where it speaks, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector

DONE, FAILED, FOUND_ANOMALIES = 0, 1, 3  # typer ends with 2 on wrong usage
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 images anomalous or skipped "
    "(score --fail-on-anomaly)."
)

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
