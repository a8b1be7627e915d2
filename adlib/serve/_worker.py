"""One thread that judges what waits, in batches of one model."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from adlib._inspection import Inspection
from adlib.images import Source
from adlib.images._pixels import PLAIN
from adlib.images._sources import Item
from adlib.serve._models import Model

MOST_IMAGES = 16  # that are judged at once: more gain nothing
log = logging.getLogger("adlib.serve")


class Job(NamedTuple):
    """The images of one request, and what is promised to who waits for them."""

    model: Model
    items: list[Item]
    answer: Future[list[Inspection]]


class Worker:
    """Judges jobs in the order in which they came, several of one model at once.

    Results do not depend on what else is in a batch: each is what the model's
    ``inspect`` says of the image alone. Who bounds how many jobs are put in is the
    caller.

    Args:
        judged: Called after each batch with the model, the number of images and the
            seconds that they took.
    """

    def __init__(
        self, judged: Callable[[Model, int, float], None] = lambda *_: None
    ) -> None:
        self._judged = judged
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="adlib-worker")

    def start(self) -> None:
        """Begin to judge, in a thread, until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Judge what still waits, then end the thread."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    def put(self, model: Model, items: list[Item]) -> Future[list[Inspection]]:
        """Let a model judge images; the future that is returned may be cancelled."""
        job = Job(model, items, Future())
        # What nobody waits for takes no memory, even before it is its turn.
        job.answer.add_done_callback(
            lambda one: items.clear() if one.cancelled() else 0
        )
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job.answer

    def _run(self) -> None:
        while jobs := self._next():
            if not self._judge(jobs) and len(jobs) > 1:
                for job in jobs:  # so that no job fails for another's sake
                    self._judge([job])

    def _next(self) -> list[Job]:
        """Return the jobs of the next batch; none when all is over."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._over)
                chosen: list[Job] = []
                left: deque[Job] = deque()
                n_images = 0
                for job in self._waiting:
                    first = chosen[0] if chosen else job
                    fits = n_images + len(job.items) <= MOST_IMAGES or not chosen
                    if job.model is not first.model or not fits:
                        left.append(job)
                    elif job.answer.set_running_or_notify_cancel():
                        chosen.append(job)
                        n_images += len(job.items)
                self._waiting = left
                if chosen or self._over:
                    return chosen

    def _judge(self, jobs: list[Job]) -> bool:
        """Answer jobs of one model; return whether none is left without an answer."""
        model = jobs[0].model
        pictures = [item for job in jobs for item in job.items]
        items = [item._replace(position=i) for i, item in enumerate(pictures)]
        source = Source.of(items, PLAIN, "a request")
        started = time.perf_counter()
        try:
            results = iter(list(model.inspector.inspect(source)))
        except Exception as error:
            if len(jobs) == 1:
                log.exception("%s failed", model.name)
                jobs[0].answer.set_exception(error)
            return False
        self._judged(model, len(items), time.perf_counter() - started)
        for job in jobs:
            job.answer.set_result(list(itertools.islice(results, len(job.items))))
        return True
