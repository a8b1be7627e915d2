"""Work is split over as many threads as asked, each row once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from adlib._threads import available_threads, run_in_slices


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
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    assert available_threads() == 3


def test_machines_without_affinity_count_their_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
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
