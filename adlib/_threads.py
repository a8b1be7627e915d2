"""Split work over threads: how many, and which rows each takes.

Also what threads need at a fork and at the end of the interpreter, so that neither a
forked child waits for threads that it does not have, nor a daemon thread is stopped
inside another library's C++, which aborts the process.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

SET_THREADS = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}
SLICES_PER_THREAD = 8  # so that a thread that is done early finds more to do


def available_threads() -> int:
    """Return how many threads to use: ``OMP_NUM_THREADS``, else the cores allowed."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_in_slices(
    pool: Executor,
    n_slices: int,
    n_rows: int,
    work: Callable[[int, int], None],
    *,
    grain: int = 1,
) -> None:
    """Call ``work(first, last)`` for even slices of the rows, and wait.

    Which thread takes which slice cannot matter: a slice writes only its own rows.

    Args:
        pool: The threads.
        n_slices: How many slices there are at most.
        n_rows: How many rows there are.
        work: What to do with the rows from first to before last.
        grain: All slices but the last hold a multiple of so many rows.
    """
    n_grains = -(-n_rows // grain)
    n_slices = min(n_slices, n_grains)
    if n_slices <= 1:
        work(0, n_rows)
        return
    edges = [n_grains * part // n_slices * grain for part in range(n_slices)]
    spans = pairwise([*edges, n_rows])
    futures = [pool.submit(work, first, last) for first, last in spans]
    wait(futures)
    for future in futures:
        future.result()


class Threads(ThreadPoolExecutor):
    """A pool that works in the caller's thread once Python starts no more threads.

    That is so from the moment when the main thread has ended, while others still run.
    """

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Return the future of a call; see ``Executor``."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "cannot schedule new futures" not in str(error):
                raise
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # as a pool's thread does
            future.set_exception(error)
        return future


class _Ending:
    """Which daemon threads are at work that the interpreter's end must wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work: set[int] = set()
        self._over = self._watched = False

    @contextmanager
    def waits(self) -> Iterator[None]:
        """See ``undivided``."""
        mine = threading.get_ident()
        if not threading.current_thread().daemon or mine in self._at_work:
            yield
            return
        with self._changed:
            if not self._watched:  # after all imports, hence before their own ends
                atexit.register(self.end)
                self._watched = True
            while self._over:
                self._changed.wait()
            self._at_work.add(mine)
        try:
            yield
        finally:
            with self._changed:
                self._at_work.discard(mine)
                self._changed.notify_all()

    def end(self) -> None:
        """Let no daemon thread begin, and wait for those at work."""
        with self._changed:
            self._over = True
            while self._at_work - {threading.get_ident()}:
                self._changed.wait()


_ending = _Ending()


@contextmanager
def undivided() -> Iterator[None]:
    """Let the interpreter end before or after the block, but not while it runs.

    It matters in daemon threads: Python stops them wherever they are, and inside
    torch's C++ that aborts the process. One that comes here too late never goes on.
    """
    with _ending.waits():
        yield


class Process:
    """Remembers which process it was made in.

    Args:
        what: What belongs to that process; the error begins with it.
        remedy: What to do instead, a sentence.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self._what, self._remedy = what, remedy
        self._process = os.getpid()

    def check(self) -> None:
        """Raise RuntimeError in a child that was forked since."""
        if os.getpid() != self._process:
            raise RuntimeError(
                f"{self._what} cannot be used in a forked process. {self._remedy}"
            )


def _after_fork() -> None:
    """Keep a forked child from waiting for its parent's threads, which it lacks.

    torch and FAISS share work over OpenMP's threads and would wait for ever.
    """
    global _ending  # noqa: PLW0603 - its lock may be held by a thread that is gone
    atexit.unregister(_ending.end)
    _ending = _Ending()
    for module, function in SET_THREADS.items():
        set_threads = getattr(sys.modules.get(module), function, None)
        if set_threads is not None:
            set_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
