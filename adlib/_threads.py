"""Split work over threads: how many, and which rows each takes.

Also what threads need when the process forks or ends.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

SET_THREADS = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}
# A thread that ran torch gives memory back to MKL after Python knows it no more, behind
# a lock that a fork meanwhile would leave locked in the child.
SECONDS_TO_END = 0.1
MOST_SECONDS = 10.0  # that a fork waits for other threads' work
SLICES_PER_THREAD = 8  # so that a thread that is done early has more to do


_limits = threading.local()


@contextmanager
def at_most(n_threads: int | None) -> Iterator[None]:
    """Let what this thread calls inside use so many threads; None changes nothing."""
    before = getattr(_limits, "n_threads", None)
    _limits.n_threads = n_threads or before
    try:
        yield
    finally:
        _limits.n_threads = before


def available_threads() -> int:
    """Return how many threads to use, where none is given.

    That of ``at_most``, or of ``OMP_NUM_THREADS``, else the usable cores.
    """
    limit: int | None = getattr(_limits, "n_threads", None)
    if limit is not None:
        return limit
    # joblib knows the limits of affinity, of containers (cgroups) and of
    # LOKY_MAX_CPU_COUNT, but not OMP_NUM_THREADS.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    allowed = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0))
    return _cores(allowed, os.environ.get("LOKY_MAX_CPU_COUNT"))


@cache
def _cores(*_allowed: object) -> int:
    """Return the usable cores, asked once: files of the system are read for it."""
    try:
        # Not joblib.cpu_count, which is 1 wherever joblib may start no processes.
        from joblib.externals.loky import cpu_count  # noqa: PLC0415 - slow to import
    except ImportError:  # adlib.runtime does without: no limits of containers then
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    return int(cpu_count())


def run_in_slices(
    pool: Executor,
    n_slices: int,
    n_rows: int,
    work: Callable[[int, int], None],
    *,
    grain: int = 1,
) -> None:
    """Call ``work(first, last)`` for at most ``n_slices`` even slices, and wait.

    Each slice writes only its own rows, from first to before last, so the order does
    not matter. All slices but the last hold a multiple of ``grain`` rows.
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

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end; see ``Executor``."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        _work.last_end = time.monotonic()


class _Work:
    """Which threads are inside ``undivided``, and which must not enter now."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.last_end = -math.inf  # of threads that may have run torch, in seconds
        self._changed = threading.Condition()
        self._inside: set[int] = set()
        self._over = self._watched = False
        self._forking: int | None = None  # the thread that does

    @contextmanager
    def undivided(self) -> Iterator[None]:
        """Keep the interpreter from ending, and the process from forking.

        At its end Python stops daemon threads, which inside torch's C++ code aborts the
        process; here a daemon thread that enters later waits for ever. A forked child
        would keep the locks of the parent's other threads; and OpenBLAS ends its
        threads before a fork, so that NumPy's products in other threads would never
        end.
        """
        mine = threading.get_ident()
        if mine in self._inside:
            yield
            return
        daemon = threading.current_thread().daemon
        with self._changed:
            if daemon and not self._watched:  # after all imports, so before their ends
                atexit.register(self.end)
                self._watched = True
            while (self._over and daemon) or self._forking not in (None, mine):
                self._changed.wait()
            self._inside.add(mine)
        try:
            yield
        finally:
            with self._changed:
                self._inside.discard(mine)
                self._changed.notify_all()

    def end(self) -> None:
        """Let no daemon thread enter, and wait for the others to leave."""
        with self._changed:
            self._over = True
            self._wait_for_others()

    def before_fork(self) -> None:
        """Wait until no other thread holds a library's lock, and let none enter."""
        with self._changed:
            self._forking = threading.get_ident()
            self._wait_for_others(MOST_SECONDS)
        time.sleep(max(0.0, self.last_end + SECONDS_TO_END - time.monotonic()))

    def after_fork_in_child(self) -> None:
        """Make a new lock, since the old one may be locked, and use one thread.

        torch and FAISS use OpenMP's threads, which a child does not have: it would wait
        for them for ever.
        """
        atexit.unregister(self.end)
        self._begin()
        for module, function in SET_THREADS.items():
            set_threads = getattr(sys.modules.get(module), function, None)
            if set_threads is not None:
                set_threads(1)

    def after_fork_in_parent(self) -> None:
        """Let threads enter again."""
        with self._changed:
            self._forking = None
            self._changed.notify_all()

    def _wait_for_others(self, timeout: float | None = None) -> None:
        mine = {threading.get_ident()}
        self._changed.wait_for(lambda: self._inside <= mine, timeout)


_work = _Work()
undivided = _work.undivided
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_work.before_fork,
        after_in_parent=_work.after_fork_in_parent,
        after_in_child=_work.after_fork_in_child,
    )


class Process:
    """Knows which process ``what`` was made in."""

    def __init__(self, what: str, remedy: str) -> None:
        self._what, self._remedy = what, remedy
        self._process = os.getpid()

    def check(self) -> None:
        """Raise RuntimeError in a child that was forked since."""
        if os.getpid() != self._process:
            raise RuntimeError(
                f"{self._what} cannot be used in a forked process. {self._remedy}"
            )
