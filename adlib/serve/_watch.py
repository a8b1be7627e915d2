"""Judge the images that come into a folder, each once, whatever happens meanwhile."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, get_args

from adlib._inspection import Decision, Inspection
from adlib.exceptions import ImageError
from adlib.images import Source
from adlib.images._pixels import PLAIN
from adlib.images._sources import Item
from adlib.serve._deliver import Courier, Notes, Say
from adlib.serve._drift import Alarm, ProductDrift, reference_of
from adlib.serve._folder import Folder, Key, Loaded
from adlib.serve._model import ModelFile
from adlib.serve._results import Results, result_of

T = TypeVar("T")
READERS = 4  # threads that wait for the disk or the network
BATCH = 16  # files at once, where many are waiting
BUSY_SHARE = 0.25  # of the time that looking at a large folder may take
LONGEST_PAUSE = 5.0  # seconds between tries of the database
REPORT_EVERY = 10.0  # seconds between lines on what was judged
GRACE = 10.0  # seconds in which ``once`` lets failing sinks try again


class Stopped(Exception):  # noqa: N818 - asked for
    """``stop`` was set while something could not be done."""


class Watch:
    """Judges the images of a folder and writes the results.

    A file counts as judged once its result is committed; whatever ends the process
    before that leaves the file to be judged by the next. Nothing is decided by the
    clock of the machine.

    Args:
        folder: The folder.
        model: The model file in service.
        results: The database; no other process may watch for the same product.
        product: What the results are for.
        settle: Seconds for which size and time of a file must not change.
        interval: Seconds from one look to the next, at least.
        couriers: The sinks' threads, which this starts and ends.
        excluded: A folder inside that does not count.
        say: What shows a line to people.
        stop: Set it from anywhere, and ``run`` ends after the batch in work.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelFile,
        results: Results,
        product: str,
        *,
        settle: float = 1.0,
        interval: float = 0.5,
        couriers: Sequence[Courier] = (),
        excluded: Path | None = None,
        say: Say = print,
        stop: threading.Event | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()  # of this run, by decision
        self.stop = stop or threading.Event()
        self._model, self._results, self._product = model, results, product
        self._interval, self._couriers = interval, couriers
        self._say, self._note = say, Notes(say)
        self._folder = Folder(folder, settle, self._is_known, excluded)
        self._next_look = self._next_report = -math.inf
        self._once = False
        self._told: set[str] = set()  # suffixes that are left out
        self._reported = 0
        self._drift = ProductDrift(product, self._reference)
        self._alarm: Alarm | None = None
        self._note_place = (product, folder, model.path)

    def run(self, *, once: bool = False) -> None:
        """Judge until ``stop`` is set; with ``once`` until no file is waiting.

        Raises:
            OSError: The database was removed, or replaced by another file.
        """
        self._once = once
        for courier in self._couriers:
            courier.start()
        try:
            self._patiently(self._results.note_product, *self._note_place)
            with ThreadPoolExecutor(READERS, "adlib-read") as pool:
                self._judge_all(pool)
            if once:
                self._wait_for_sinks()
        except Stopped:
            pass  # what is not committed is judged by the next run
        finally:
            for courier in self._couriers:
                courier.end()
            for courier in self._couriers:
                courier.join(GRACE)
        self._report(at_once=True)

    def _judge_all(self, pool: ThreadPoolExecutor) -> None:
        ahead: list[Future[Loaded]] = []
        while not self.stop.is_set():
            looked = self._look()
            batch = ahead or self._begin(pool)
            ahead = self._begin(pool) if batch else []  # read while these are judged
            if batch:
                self._judge([future.result() for future in batch])
            elif self._once and looked and self._folder.n_waiting == 0:
                return
            else:
                self.stop.wait(max(0.01, self._next_look - time.monotonic()))
            self._report()

    def _look(self) -> bool:
        """Look at folder, model file and database, if it is time to."""
        begun = time.monotonic()
        if begun < self._next_look:
            return False
        if not self._results.is_in_place():
            raise OSError(
                f"The results database {str(self._results.path)!r} was removed or "
                "replaced. Start again: images of which there is no result are judged."
            )
        told = self._model.look()
        if told:
            self._say(told)
        try:
            self._folder.look(begun)
        except OSError as error:  # such as a network that is down
            if self._once:
                raise
            self._note("folder", f"The folder cannot be read ({error}); trying again.")
        for text in self._folder.unreadable:
            self._note("inside", f"A folder inside cannot be read: {text}")
        new = sorted(self._folder.left_out - self._told)
        if new:
            self._told.update(new)
            names = ", ".join(suffix or "without suffix" for suffix in new)
            self._say(f"Left out, as no images by their names: {names}.")
        ended = time.monotonic()
        pause = (ended - begun) * (1 / BUSY_SHARE - 1)
        self._next_look = ended + max(self._interval, pause)
        return True

    def _begin(self, pool: ThreadPoolExecutor) -> list[Future[Loaded]]:
        """Take a batch of settled files and begin to read them."""
        files = self._folder.take(BATCH, time.monotonic())
        return [pool.submit(self._folder.load, file) for file in files]

    def _judge(self, files: Sequence[Loaded]) -> None:
        """Judge a batch and write its results in one transaction."""
        whole, rows = [], []
        for one in files:
            if one.content is not None and not self._is_touched(one):
                whole.append(one)
            elif one.error is not None and not self._again(one):
                rows.append((one, _unusable(one)))
            elif one.error is None and one.content is None:
                self._folder.drop(one.file)
        now = self._model.now  # for the whole batch
        broken: set[str] = set()
        for one, inspection in zip(whole, self._inspect(whole, broken), strict=True):
            if one.file.path not in broken or not self._again(one):
                rows.append((one, inspection))
        limits = (now.model.threshold_, now.model.review_threshold_)
        written = [
            result_of(
                inspection,
                product=self._product,
                model=now.sha256,
                limits=limits,
                file=(*one.file.key[:2], one.sha256),
            )
            for one, inspection in rows
        ]
        if written:
            self._patiently(self._results.add, written)
        for (one, _), row in zip(rows, written, strict=True):
            self._folder.done(one.file)
            self.counts[row.decision] += 1
        for courier in self._couriers:
            courier.woken.set()

    def _inspect(self, files: Sequence[Loaded], broken: set[str]) -> list[Inspection]:
        """Inspect files; where the model itself fails, each alone."""
        if not files:
            return []
        items = [
            Item(i, one.file.path, _decoder(one, broken)) for i, one in enumerate(files)
        ]
        source = Source.of(items, PLAIN, "adlib watch")
        try:
            return list(self._model.now.model.inspect(source))
        except Exception as error:  # whatever it is, the next image may be judged
            if len(files) > 1:
                return [self._inspect([one], broken)[0] for one in files]
            text = f"{files[0].file.path}: {type(error).__name__}: {error}"
            self._note("model", f"The model fails: {text}")
            return [_unusable(files[0]._replace(error=text))]

    def _is_touched(self, one: Loaded) -> bool:
        """Ask whether only the time of a file changed since it was judged."""
        last = self._patiently(self._results.last_of, self._product, one.file.path)
        if last is None or last.number is None or last.sha256 != one.sha256:
            return False
        size, mtime_ns, _ = one.file.key
        self._patiently(self._results.touch, last.number, size, mtime_ns)
        self._folder.done(one.file)
        return True

    def _is_known(self, path: str, key: Key) -> bool:
        return self._patiently(
            self._results.is_known, self._product, path, key.size, key.mtime_ns
        )

    def _again(self, one: Loaded) -> bool:
        return self._folder.try_again(one.file, time.monotonic())

    def _patiently(self, work: Callable[..., T], *given: object) -> T:
        """Do something with the database, again and again where it is not possible."""
        pause = 0.1
        while True:
            try:
                return work(*given)
            except sqlite3.OperationalError as error:  # locked, disk full, ...
                text = f"The results database cannot be used ({error}); trying again."
                self._note("database", text)
                if self.stop.wait(pause):
                    raise Stopped from error
                pause = min(2 * pause, LONGEST_PAUSE)

    def _wait_for_sinks(self) -> None:
        since = time.monotonic()
        while not self.stop.is_set():
            left = [c for c in self._couriers if self._n_owed(c)]
            failing = all(courier.trouble for courier in left)
            since = since if failing else time.monotonic()
            if not left or time.monotonic() - since > GRACE:
                return
            self.stop.wait(0.05)

    def _n_owed(self, courier: Courier) -> int:
        return self._patiently(self._results.n_after, self._product, courier.at)

    def _report(self, *, at_once: bool = False) -> None:
        """Say how many were judged, if it is time to and there is something new."""
        now, n_judged = time.monotonic(), self.counts.total()
        is_new = n_judged != self._reported and now >= self._next_report
        if not (is_new or at_once):
            return
        self._reported, self._next_report = n_judged, now + REPORT_EVERY
        each = ", ".join(f"{self.counts[name]} {name}" for name in get_args(Decision))
        text = f"{n_judged} judged: {each}; waiting: {self._folder.n_waiting}"
        for courier in self._couriers:
            try:
                owed = self._results.n_after(self._product, courier.at)
            except sqlite3.OperationalError:
                continue  # it is said elsewhere
            if owed:
                text += f"; {courier.sink.name}: {owed} to deliver"
        self._say(f"{text}.")
        self._tell_drift()

    def _tell_drift(self) -> None:
        """Say once that scores have drifted."""
        try:
            state = self._drift.look(self._results)
        except sqlite3.OperationalError:
            return  # the next report will
        alarm = None if state is None else state.alarm
        if state is not None and alarm is not None and alarm != self._alarm:
            self._say(f"{self._product}: {state.line()}. See adlib monitor.")
        self._alarm = alarm

    def _reference(self, sha256: str) -> Sequence[float]:
        now = self._model.now
        return reference_of(now.model) if now.sha256 == sha256 else ()


def _decoder(one: Loaded, broken: set[str]) -> Callable[[], object]:
    """Return what decodes a file, and notes where that is not possible."""

    def decode() -> object:
        try:
            return one.pixels()
        except ImageError:
            broken.add(one.file.path)
            raise

    return decode


def _unusable(one: Loaded) -> Inspection:
    return Inspection(one.file.path, math.nan, None, None, one.error, decision="REVIEW")
