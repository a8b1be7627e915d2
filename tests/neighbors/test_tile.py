"""Tiles multiply right, whatever the processor has registers for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from adlib.neighbors._distances import squared_distance
from adlib.neighbors._squares import LANES
from adlib.neighbors._tile import COLUMNS, ROWS, promise_tile


@njit
def run(seekers, panel, members, column, starts, bars, strip, marks, position):
    return promise_tile(
        seekers, panel, members, column, starts, bars, strip, marks, position
    )


@pytest.mark.parametrize("n_words", [1, 2, 9, 64])
def test_a_tile_holds_products_and_marks_those_above_their_bars(n_words):
    rng = np.random.default_rng(n_words)
    seekers = rng.normal(size=(3, n_words, ROWS)).astype(np.float32)
    members = rng.normal(size=(4, n_words, COLUMNS)).astype(np.float32)
    starts = rng.normal(size=(4, COLUMNS)).astype(np.float32)
    bars = rng.normal(size=(3, ROWS)).astype(np.float32)
    strip = np.full((ROWS, 5 * COLUMNS), np.nan, np.float32)
    marks = np.full((ROWS, 5), 77, np.int32)
    some = run(seekers, 1, members, 2, starts, bars, strip, marks, 3)
    expected = seekers[1].T.astype(np.float64) @ members[2] + starts[2]
    mine = slice(3 * COLUMNS, 4 * COLUMNS)
    np.testing.assert_allclose(strip[:, mine], expected, rtol=1e-5, atol=1e-5)
    above = strip[:, mine] > bars[1][:, None]
    bits = (marks[:, 3, None].astype(np.int64) >> np.arange(COLUMNS)) & 1
    np.testing.assert_array_equal(bits, above)
    assert some == above.any()
    # Nothing else is written to.
    assert np.isnan(np.delete(strip, np.r_[mine], axis=1)).all()
    assert (np.delete(marks, 3, axis=1) == 77).all()


def test_a_tile_says_when_nobody_is_above_the_bar():
    seekers = np.ones((1, 2, ROWS), np.float32)
    members = np.ones((1, 2, COLUMNS), np.float32)
    starts = np.zeros((1, COLUMNS), np.float32)
    strip, marks = np.empty((ROWS, COLUMNS), np.float32), np.empty((ROWS, 1), np.int32)
    for bar, expected in ((2.0, False), (np.inf, False), (1.99, True), (-np.inf, True)):
        bars = np.full((1, ROWS), bar, np.float32)
        assert run(seekers, 0, members, 0, starts, bars, strip, marks, 0) == expected


def test_squares_are_summed_in_the_order_that_is_promised():
    rng = np.random.default_rng(0)
    x, y = (10.0 ** rng.uniform(-4, 4, (2, 3 * LANES + 5))).astype(np.float32)
    squares = (x.astype(np.float64) - y.astype(np.float64)) ** 2
    lanes = np.zeros(LANES)
    for begin in range(0, 3 * LANES, LANES):
        lanes = lanes + squares[begin : begin + LANES]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    total = lanes[0]
    for square in squares[3 * LANES :]:
        total = total + square
    assert squared_distance(x, y) == total


OTHER_PROCESSOR = """
import numpy as np
from adlib.neighbors import MemoryBank, greedy_coreset
from adlib.neighbors._tile import HAS_BFLOAT16_UNITS, LANES
from tests import reference
assert (HAS_BFLOAT16_UNITS, LANES) == (False, 8)
X = np.random.default_rng(0).normal(size=(600, 70)) * 0.95 ** np.arange(70)
X = X.astype(np.float32)
found = MemoryBank(X[:500]).kneighbors(X[500:], 3)
distances, indices = reference.kneighbors(X[:500], X[500:], 3)
np.testing.assert_array_equal(found.indices, indices)
np.testing.assert_allclose(found.distances, distances, rtol=1e-6)
picked = greedy_coreset(X, 60, start=0, device="cpu")
np.testing.assert_array_equal(picked, reference.greedy_coreset(X, 60, start=0))
"""


def test_processors_without_wide_registers_give_the_same():
    root = Path(__file__).parents[2]
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], env=environment, check=True, cwd=root
    )
