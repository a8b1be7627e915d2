"""Show progress on work that lasts, and nothing on work that does not."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Unit: TypeAlias = Literal["steps", "bytes"]
DELAY = 2.0  # seconds


class ProgressBar:
    """rich's bar on standard error, from two seconds after the block was entered.

    It also appears where no step was done, so that a file system that hangs can be
    seen. It is drawn in terminals and notebooks only, so logs stay clean. rich has no
    delay of its own.
    """

    _started = False

    def __init__(
        self,
        description: str,
        total: int | None,
        *,
        enabled: bool = True,
        unit: Unit = "steps",
    ) -> None:
        self._bar = _bar(unit) if enabled else None
        if self._bar is not None:
            self._task = self._bar.add_task(description, total=total, note="")
            self._timer = threading.Timer(DELAY, self._start, [self._bar])
            self._timer.daemon = True  # a process that hangs can still be ended

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count ``steps`` more as done and show ``note`` beside the bar."""
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, note=note)

    def _start(self, bar: Progress) -> None:
        bar.start()
        self._started = True

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._timer.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._timer.cancel()
            self._timer.join()  # it may be starting the bar
            if self._started:  # else rich may print an empty line
                self._bar.stop()


def note(line: str, *, enabled: bool = True) -> None:
    """Show a line where a bar would be drawn at once; log it (level INFO) anywhere."""
    logging.getLogger("adlib").info(line)
    if enabled and _console() is not None:
        print(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """Return a time in words, to two digits."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds)} seconds"


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):g}"  # no exponent: 110, not 1.1e+02


def _console() -> Console | None:
    """Return the terminal's or the notebook's console; None: there is neither."""
    from rich.console import Console  # noqa: PLC0415 - not needed to import adlib

    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None


def _bar(unit: Unit) -> Progress | None:
    """Return rich's bar, or None where it cannot be drawn."""
    console = _console()
    if console is None:
        return None
    from rich import progress  # noqa: PLC0415 - not needed to import adlib

    from adlib._notebook_bar import NotebookProgress  # noqa: PLC0415 - it needs rich

    done: list[progress.ProgressColumn] = [progress.MofNCompleteColumn()]
    if unit == "bytes":
        done = [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    kind = NotebookProgress if console.is_jupyter else progress.Progress
    return kind(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *done,
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )
