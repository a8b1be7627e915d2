"""Work is split over as many threads as asked, each row once."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from adlib import _threads
from adlib._threads import Process, Threads, available_threads, run_in_slices


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.mark.parametrize("asked", [1, 3, 64])
def test_the_environment_decides_the_number_of_threads(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", str(asked))
    assert available_threads() == asked


@pytest.mark.parametrize("asked", ["", "0", "-2", "many"])
def test_the_cores_decide_where_the_environment_does_not(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "7")
    assert available_threads() <= 3  # less where a container has less
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert available_threads() == 1


@pytest.mark.parametrize("n_slices", [1, 2, 3, 7])
@pytest.mark.parametrize("n_rows", [0, 1, 6, 7, 100])
@pytest.mark.parametrize("grain", [1, 3, 12])
def test_every_row_is_visited_once_in_whole_grains(pool, n_slices, n_rows, grain):
    visits = np.zeros(n_rows, np.int64)
    firsts = []

    def visit(first, last):
        visits[first:last] += 1
        firsts.append(first)

    run_in_slices(pool, n_slices, n_rows, visit, grain=grain)
    assert (visits == 1).all()
    assert len(firsts) <= n_slices
    assert all(first % grain == 0 for first in firsts)


def test_slices_are_even(pool):
    lengths = []
    run_in_slices(pool, 4, 103, lambda first, last: lengths.append(last - first))
    assert sorted(lengths) == [25, 26, 26, 26]


@pytest.mark.parametrize("n_slices", [1, 4])
def test_an_error_in_a_slice_reaches_the_caller(pool, n_slices):
    def fail(_first, last):
        if last == 8:
            raise RuntimeError("row 7")

    with pytest.raises(RuntimeError, match="row 7"):
        run_in_slices(pool, n_slices, 8, fail)


def test_a_pool_that_takes_no_more_works_in_the_callers_thread():
    pool = Threads(1)
    pool.shutdown()  # as Python does once the main thread has ended
    assert pool.submit(threading.get_ident).result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()


def test_a_process_knows_itself(monkeypatch):
    begun = Process("This", "Do that.")
    begun.check()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    message = "This cannot be used in a forked process. Do that."
    with pytest.raises(RuntimeError, match=message):
        begun.check()


@pytest.mark.parametrize("daemon", [True, False])
def test_the_end_waits_for_daemon_threads_and_lets_none_begin(daemon):
    work = _threads._Work()
    inside, leave, again = threading.Event(), threading.Event(), threading.Event()

    def enter():
        with work.undivided(), work.undivided():
            inside.set()
            leave.wait()
        with work.undivided():
            again.set()

    thread = threading.Thread(target=enter, daemon=daemon)
    thread.start()
    inside.wait()
    ending = threading.Thread(target=work.end)
    ending.start()
    ending.join(0.1)
    assert ending.is_alive()
    leave.set()
    ending.join()
    assert again.wait(0.2) != daemon
    work._over = False
    work.after_fork_in_parent()
    thread.join()
    atexit.unregister(work.end)


def test_a_fork_waits_for_what_threads_are_at():
    work = _threads._Work()
    inside, leave = threading.Event(), threading.Event()

    def enter():
        with work.undivided():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=enter)
    thread.start()
    inside.wait()
    ready, done = threading.Event(), threading.Event()

    def fork():
        work.before_fork()
        ready.set()
        done.wait()
        work.after_fork_in_parent()

    forking = threading.Thread(target=fork)
    forking.start()
    assert not ready.wait(0.1)
    leave.set()
    assert ready.wait(9)
    thread.join()
    inside.clear()
    other = threading.Thread(target=enter)
    other.start()
    assert not inside.wait(0.1)
    done.set()
    other.join()
    forking.join()


def test_a_child_holds_torch_to_one_thread(monkeypatch):
    work, asked = _threads._Work(), []
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(set_num_threads=asked.append)
    )
    monkeypatch.setitem(sys.modules, "faiss", None)
    work.after_fork_in_child()
    assert asked == [1]
