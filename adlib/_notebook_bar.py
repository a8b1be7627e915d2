"""A progress bar as one output of a notebook's cell, redrawn in place."""

from __future__ import annotations

import threading
from html import escape

from rich.progress import BarColumn, Progress, Task

PAUSE = 0.5  # seconds between two drawings
GONE = {"text/plain": "", "text/html": ""}


class NotebookProgress(Progress):
    """rich's progress, drawn by IPython alone; it shows its first task.

    rich's own drawing needs ipywidgets, takes over what the cell prints meanwhile, and
    leaves a widget behind that a saved notebook cannot show.
    """

    def start(self) -> None:
        """Draw the bar below the cell, and go on until ``stop``."""
        from IPython.display import display  # noqa: PLC0415 - in notebooks alone

        self._output = display(self._drawn(), raw=True, display_id=True)
        self._ended = threading.Event()
        self._redrawing = threading.Thread(target=self._redraw, daemon=True)
        self._redrawing.start()

    def stop(self) -> None:
        """Empty the output, as bars leave a terminal."""
        self._ended.set()
        self._redrawing.join()
        self._output.update(GONE, raw=True)

    def _redraw(self) -> None:
        while not self._ended.wait(PAUSE):
            self._output.update(self._drawn(), raw=True)

    def _drawn(self) -> dict[str, str]:
        """Return the bar as text and as HTML, by MIME type."""
        task = self.tasks[0]
        texts, elements = [], []
        for column in self.columns:
            if isinstance(column, BarColumn):
                elements.append(_bar(task))
            elif not isinstance(column, str):
                texts.append(str(column.render(task)))
                elements.append(escape(texts[-1]))
        html = f'<div style="font-size:13px">{" ".join(elements)}</div>'
        return {"text/plain": " ".join(texts), "text/html": html}


def _bar(task: Task) -> str:
    if task.total is None:
        return "<progress></progress>"
    return f'<progress value="{task.completed:g}" max="{task.total:g}"></progress>'
