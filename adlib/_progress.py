"""Show progress on anything that lasts, and stay silent on anything that does not."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Unit: TypeAlias = Literal["steps", "bytes"]
SECONDS_OF_SILENCE = 2.0


class ProgressBar:
    """A bar on standard error that appears once the work has lasted two seconds.

    It appears even where no step was done: a file system that is stuck shows a bar that
    stands still, and for how long. Nothing is drawn where standard error is neither a
    terminal nor a notebook, so logs stay clean. rich is imported only when a bar is
    about to appear. Steps are shown as "7/10", bytes as "7.0/10.0 MB" with their speed.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        *,
        enabled: bool = True,
        unit: Unit = "steps",
    ) -> None:
        self._description = description
        self._total = total
        self._enabled = enabled
        self._unit = unit
        self._done = 0
        self._note = ""
        self._started = time.monotonic()
        self._bar: RichProgress | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count ``steps`` more as done and show ``note`` beside the bar."""
        self._done += steps
        self._note = note
        if self._enabled:
            self._show()

    def _show(self) -> None:
        """Draw what is done, once it is time to."""
        with self._lock:
            if not self._enabled:
                return
            if self._bar is None:
                if time.monotonic() - self._started < SECONDS_OF_SILENCE:
                    return
                self._bar = self._appear()
                if self._bar is None:
                    self._enabled = False
                    return
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self._done, note=self._note)

    def _appear(self) -> RichProgress | None:
        from rich.console import Console  # noqa: PLC0415 - heavy, often not needed
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        if not (console.is_terminal or console.is_jupyter):
            return None
        counts = (
            (DownloadColumn(), TransferSpeedColumn())
            if self._unit == "bytes"
            else (MofNCompleteColumn(),)
        )
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counts,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        bar.add_task(self._description, total=self._total, note="")
        bar.start()
        return bar

    def __enter__(self) -> Self:
        if self._enabled:
            self._timer = threading.Timer(SECONDS_OF_SILENCE, self._show)
            self._timer.daemon = True  # a stuck process can still be ended
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()  # it draws, if at all, for some milliseconds
        with self._lock:
            self._enabled = False
            if self._bar is not None:
                self._bar.stop()
