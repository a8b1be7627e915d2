"""Tiles and sums are right, whatever registers the processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.llvm import COLUMNS, ROWS, SUM_LANES, similarity_tile


@njit
def run(queries, row, database, column, biases, thresholds, strip, passed, tile):
    return similarity_tile(
        queries, row, database, column, biases, thresholds, strip, passed, tile
    )


@pytest.mark.parametrize("n_words", [1, 2, 9, 64])
def test_a_tile_holds_similarities_and_marks_those_above_their_thresholds(n_words):
    rng = np.random.default_rng(n_words)
    queries = rng.normal(size=(3, n_words, ROWS)).astype(np.float32)
    database = rng.normal(size=(4, n_words, COLUMNS)).astype(np.float32)
    biases = rng.normal(size=(4, COLUMNS)).astype(np.float32)
    thresholds = rng.normal(size=(3, ROWS)).astype(np.float32)
    strip = np.full((ROWS, 5 * COLUMNS), np.nan, np.float32)
    passed = np.full((ROWS, 5), 77, np.int32)
    some = run(queries, 1, database, 2, biases, thresholds, strip, passed, 3)
    expected = queries[1].T.astype(np.float64) @ database[2] + biases[2]
    mine = slice(3 * COLUMNS, 4 * COLUMNS)
    np.testing.assert_allclose(strip[:, mine], expected, rtol=1e-5, atol=1e-5)
    above = strip[:, mine] > thresholds[1][:, None]
    bits = (passed[:, 3, None].astype(np.int64) >> np.arange(COLUMNS)) & 1
    np.testing.assert_array_equal(bits, above)
    assert some == above.any()
    # Nothing else is written to.
    assert np.isnan(np.delete(strip, np.r_[mine], axis=1)).all()
    assert (np.delete(passed, 3, axis=1) == 77).all()


def test_a_tile_says_whether_any_pair_passes():
    queries = np.ones((1, 2, ROWS), np.float32)
    database = np.ones((1, 2, COLUMNS), np.float32)
    biases = np.zeros((1, COLUMNS), np.float32)
    strip, passed = np.empty((ROWS, COLUMNS), np.float32), np.empty((ROWS, 1), np.int32)
    for threshold, expected in (
        (2.0, False),
        (np.inf, False),
        (1.99, True),
        (-np.inf, True),
    ):
        thresholds = np.full((1, ROWS), threshold, np.float32)
        assert (
            run(queries, 0, database, 0, biases, thresholds, strip, passed, 0)
            == expected
        )


def test_squares_are_summed_in_the_documented_order():
    rng = np.random.default_rng(0)
    x, y = (10.0 ** rng.uniform(-4, 4, (2, 3 * SUM_LANES + 5))).astype(np.float32)
    squares = (x.astype(np.float64) - y.astype(np.float64)) ** 2
    lanes = np.zeros(SUM_LANES)
    for begin in range(0, 3 * SUM_LANES, SUM_LANES):
        lanes = lanes + squares[begin : begin + SUM_LANES]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    total = lanes[0]
    for square in squares[3 * SUM_LANES :]:
        total = total + square
    assert squared_distance(x, y) == total


OTHER_PROCESSOR = """
import numpy as np
from adlib.neighbors import MemoryBank, greedy_coreset
from adlib.neighbors._cpu.llvm import HAS_BFLOAT16_UNITS, LANES
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


@pytest.mark.slow
def test_processors_without_wide_registers_give_the_same():
    root = Path(__file__).parents[2]
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], env=environment, check=True, cwd=root
    )
