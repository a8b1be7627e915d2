"""Results on their way to others: each sink in a thread that never stops inspection.

The database is the outbox. A sink gets the results in their order, each at least once:
how far it got is written behind each delivery. Receivers drop a repeat by its number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from adlib.serve._results import Result, Results

Say: TypeAlias = Callable[[str], None]
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds between tries
NOTE_EVERY = 60.0  # seconds between lines about the same trouble


class Refused(Exception):  # noqa: N818 - not an error of this program
    """A sink will never take this result; the next may be sent."""


class Sink(Protocol):
    """Where results go."""

    name: str

    def start(self, results: Results, product: str) -> int:
        """Return the number of the last result that it has had."""

    def send(self, result: Result) -> str | None:
        """Deliver a result; return where its file lies now, if it was moved.

        Raises ``Refused``, or anything else where it is to be tried again.
        """

    def close(self) -> None:
        """Let go of connections."""


class Notes:
    """Lines about what goes wrong, each kind once in a while."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said: dict[str, float] = {}

    def __call__(self, kind: str, text: str) -> None:
        """Say it, unless something of its kind was said shortly before."""
        now = time.monotonic()
        if now - self._said.get(kind, -NOTE_EVERY) >= NOTE_EVERY:
            self._said[kind] = now
            self._say(text)


class Courier(threading.Thread):
    """A thread that brings the results of a product to one sink.

    Attributes:
        at: Number of the last result that the sink has had.
        trouble: Why the last delivery failed, or "".
    """

    def __init__(self, database: Path, product: str, sink: Sink, note: Notes) -> None:
        super().__init__(name=f"adlib-{sink.name}", daemon=True)
        self.sink = sink
        self.trouble = ""
        self.woken = threading.Event()
        self._database, self._product, self._note = database, product, note
        self._ended = threading.Event()
        with Results(database) as results:
            self.at = sink.start(results, product)

    def run(self) -> None:
        """Deliver until ``end`` is called."""
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            before = self.at
            try:
                # What is done twice is dropped: the disk need not be waited for.
                with Results(self._database, durable=False) as results:
                    self.at = self.sink.start(results, self._product)
                    self._deliver(results)
            except Exception as error:  # whatever it is, inspection goes on
                pause = FIRST_PAUSE if self.at > before else pause
                self.trouble = str(error) or type(error).__name__
                text = f"{self.sink.name}: {self.trouble}; trying again."
                self._note(self.sink.name, text)
                self._ended.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self.sink.close()

    def end(self) -> None:
        """Stop after the delivery in work."""
        self._ended.set()
        self.woken.set()

    def _deliver(self, results: Results) -> None:
        while not self._ended.is_set():
            rows = results.after(self._product, self.at)
            for row in rows:
                if self._ended.is_set():
                    return
                assert row.number is not None
                refused, moved_to = False, None
                try:
                    moved_to = self.sink.send(row)
                except Refused as error:
                    refused = True
                    text = f"{self.sink.name}: result {row.number}: {error}"
                    self._note(f"{self.sink.name} refused", text)
                results.sink_had(
                    self._product,
                    self.sink.name,
                    row.number,
                    refused=refused,
                    moved_to=moved_to,
                )
                self.at, self.trouble = row.number, ""
            if not rows:
                self.trouble = ""
                self.woken.wait(1.0)
                self.woken.clear()
