"""The kernels for GPUs give the bits of torch's operators and of plain loops.

Without a GPU they run in Triton's interpreter, which has to be asked for before Triton
is imported: the first test runs this file once more in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adlib.exceptions import InputWarning
from adlib.neighbors import _torch
from adlib.neighbors._cpu.llvm import SUM_LANES
from adlib.neighbors._points import as_points
from adlib.neighbors._torch import coreset, distances
from adlib.neighbors._torch.search import ExactSearch
from tests import reference

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED else "cuda:0")
ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(
    find_spec("triton") is None,
    reason="Triton is not installed: it comes with torch's CUDA builds",
)

SIZES = (5, 64)
# Compiles both for a GPU that is not there, and counts instructions in float64.
COMPILE = """
import re, sys, torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from adlib.neighbors._torch import kernels

class Driver:
    get_current_target = lambda self: GPUTarget("cuda", 80, 32)
    get_current_device = lambda self: 0
    get_current_stream = lambda self, device: 0

class Compiled:
    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launch(*arguments, **options):
            code = self.kernel.warmup(*arguments, grid=grid, **options).asm["ptx"]
            for name in ("fma", "mul", "setp"):
                print(len(re.findall(rf"{name}[.a-z]*[.]f64", code)))
            for result in filter(torch.is_tensor, arguments[4:]):
                result.zero_()
        return launch

driver.set_active(Driver())
for name in ("_pair_distances", "_pick_leading"):
    setattr(kernels, name, Compiled(getattr(kernels, name)))
indices, options = torch.arange(64), kernels.OPTIONS
for n_features in map(int, sys.argv[1:]):
    kernels.OPTIONS = options
    rows = torch.rand(64, n_features)
    kernels.pair_distances(rows, indices, rows, indices)
    square = torch.zeros(64, 64, dtype=torch.float64)
    kernels.pick_leading(square, square[0], indices, square[0, 0], indices[0], 9)
    kernels.OPTIONS = {}
    kernels.pair_distances(rows, indices, rows, indices)
"""


def run(*words, **environment):
    """Run Python in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="this is that process")
def test_the_interpreter_gives_the_bits_of_torch():
    told = run("-m", "pytest", "-n0", "-m", "gpu", "-q", __file__, TRITON_INTERPRET="1")
    assert " passed" in told


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Counts of instructions by the number of features, from one process for all."""
    cache = str(tmp_path_factory.mktemp("triton"))
    told = run("-c", COMPILE, *map(str, SIZES), TRITON_CACHE_DIR=cache)
    counts = np.array(told.split(), int).reshape(len(SIZES), 3, 3)
    return dict(zip(SIZES, counts, strict=True))


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
@pytest.mark.parametrize("n_features", SIZES)
def test_compiled_code_rounds_each_product_before_it_is_added(counted, n_features):
    fused, products, compared = counted[n_features].T
    assert fused[:2].tolist() == [0, 0]
    assert fused[2] > 0  # without the option
    assert products[0] > 0
    assert compared[1] > 0


@pytest.fixture
def kernels(monkeypatch):
    if INTERPRETED:
        from adlib.neighbors._torch import kernels

        assert distances._problem(kernels, DEVICE) is None
        for module in (coreset, distances):
            monkeypatch.setattr(module, "fused", lambda device: kernels)
        return kernels
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    if not distances.fused(DEVICE):
        pytest.skip("Triton is not installed")
    return distances.fused(DEVICE)


def plain_distance(x, y):
    squares = (x.astype(np.float64) - y.astype(np.float64)) ** 2
    whole = len(x) - len(x) % SUM_LANES
    lanes = np.zeros(SUM_LANES)
    for first in range(0, whole, SUM_LANES):
        lanes = lanes + squares[first : first + SUM_LANES]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    total = lanes[0]
    for square in squares[whole:]:
        total = total + square
    return total


@pytest.mark.gpu
@pytest.mark.parametrize("n_pairs", [0, 1, 33])
@pytest.mark.parametrize("n_features", [1, 31, 32, 33, 64, 152])
@pytest.mark.parametrize("stride", [1, 2])
def test_pairs_have_the_bits_of_torch_and_of_a_plain_loop(
    kernels, n_features, n_pairs, stride
):
    rng = np.random.default_rng(n_pairs)
    exponents = rng.uniform(-4, 4, (2, 40, stride * n_features))
    left, right = (10.0**exponents).astype(np.float32)[:, :, ::stride]
    pairs = rng.integers(0, 40, (n_pairs, 2))
    i, j = torch.from_numpy(pairs).to(DEVICE).unbind(dim=1)
    given = torch.from_numpy(left).to(DEVICE), i, torch.from_numpy(right).to(DEVICE), j
    measured = kernels.pair_distances(*given)
    assert torch.equal(measured, distances._pair_distances(*given))
    plain = [plain_distance(left[a], right[b]) for a, b in pairs]
    np.testing.assert_array_equal(measured.cpu().numpy(), plain)


def plain_picks(between, values, block, limit, limit_index, n_steps):
    values, picks, last = values.copy(), [], None
    while len(picks) < n_steps:
        best = int(values.argmax())
        value, index = values[best], block[best]
        if value < limit or (value == limit and index > limit_index):
            break
        picks.append(index)
        last = value
        values = np.minimum(values, between[best])
    return picks, last


def block_of(kind, n_rows):
    """Return squared distances inside a block, in wider rows, and its values."""
    rng = np.random.default_rng(n_rows)
    noise = rng.normal(size=(n_rows, 3))
    rows = {
        "random": noise,
        "ties": rng.integers(0, 3, (n_rows, 3)),
        "duplicates": noise[rng.integers(0, 1 + n_rows // 4, n_rows)],
        "far away": noise,
    }[kind].astype(np.float64)
    wide = np.full((n_rows, n_rows + 7), -5.0)
    between = wide[:, :n_rows]
    between[:] = np.square(rows[:, None] - rows).sum(axis=2)
    if kind == "far away":
        between[between > 1.0] = np.inf
    np.fill_diagonal(between, coreset.SELECTED)
    return between, np.square(rows - rows[0]).sum(axis=1)


@pytest.mark.gpu
@pytest.mark.parametrize("limit_after", [None, 20])
@pytest.mark.parametrize("n_rows", [1, 100, 1024])
@pytest.mark.parametrize("kind", ["random", "ties", "duplicates", "far away"])
def test_picks_are_those_of_torch_and_of_a_plain_loop(
    kernels, kind, n_rows, limit_after
):
    between, values = block_of(kind, n_rows)
    block = 5 + 3 * np.arange(n_rows)
    cases = [(-np.inf, 10**6)]
    if limit_after is not None:
        # A limit that is a value of the block itself, so that indices decide.
        limit = plain_picks(between, values, block, *cases[0], limit_after + 1)[1]
        cases = [(limit, index) for index in (6, 5 + n_rows, 10**6)]
    for limit, limit_index in cases:
        for n_steps in {1, min(70, n_rows)}:
            expected, last = plain_picks(
                between, values, block, limit, limit_index, n_steps
            )
            if not expected:  # the first of a block always leads
                continue
            given = [
                torch.from_numpy(np.asarray(one)).to(DEVICE)
                for one in (between, values, block, limit, limit_index)
            ]
            given[0] = torch.from_numpy(between.base).to(DEVICE)[:, :n_rows]
            for picks, value in (
                kernels.pick_leading(*given, n_steps),
                coreset._pick_leading(
                    *given[:1], given[1].clone(), *given[2:], n_steps, 9
                ),
            ):
                assert picks.tolist() == expected
                assert value == last


@pytest.mark.gpu
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("block", [2, 1024])
@pytest.mark.parametrize("kind", ["gaussian", "ties", "duplicates"])
def test_the_coreset_is_that_of_the_slow_twin(monkeypatch, kind, block):
    rng = np.random.default_rng(1)
    X = {
        "gaussian": rng.normal(size=(60, 37)),
        "ties": rng.integers(-1, 2, (60, 3)),
        "duplicates": np.repeat(rng.normal(size=(20, 5)), 3, axis=0),
    }[kind].astype(np.float32)
    monkeypatch.setattr(coreset, "BLOCK", block)
    size = 60 if block > 2 else 20
    picked = coreset.select(
        as_points(X, "X", "test"), size, 7, lambda *_: None, device=str(DEVICE)
    )
    assert np.array_equal(picked, reference.greedy_coreset(X, size, start=7))


@pytest.mark.gpu
@pytest.mark.usefixtures("kernels")
def test_the_search_is_that_of_the_slow_twin():
    bank, queries = np.random.default_rng(2).normal(size=(2, 90, 37)).astype(np.float32)
    engine = ExactSearch(bank, np.full(90, -1), str(DEVICE))
    squared, indices = engine.kneighbors(queries, 3, None)
    found, expected = reference.kneighbors(bank, queries, 3)
    assert np.array_equal(indices, expected)
    np.testing.assert_allclose(np.sqrt(squared), found, rtol=1e-12)


def fails(*_):
    raise RuntimeError("no C compiler")


def measures_by_fused_multiply_adds(left, i, right, j):
    """Round once for each coordinate, where the product and the sum round twice."""
    differences = (left[i].double() - right[j].double()).tolist()
    totals = []
    for row in differences:
        lanes = [0.0] * SUM_LANES
        whole = len(row) - len(row) % SUM_LANES
        for k in range(whole):
            exact = Fraction(row[k]) ** 2 + Fraction(lanes[k % SUM_LANES])
            lanes[k % SUM_LANES] = float(exact)
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [a + b for a, b in zip(lanes[:half], lanes[half:], strict=True)]
        for k in range(whole, len(row)):
            lanes[0] = float(Fraction(row[k]) ** 2 + Fraction(lanes[0]))
        totals += lanes
    return torch.tensor(totals, dtype=torch.float64)


@pytest.mark.parametrize(
    ("measure", "problem"),
    [
        (distances._pair_distances, None),
        (fails, "RuntimeError: no C compiler"),
        (measures_by_fused_multiply_adds, "its sums have other bits"),
    ],
)
def test_kernels_are_tried_before_they_are_used(monkeypatch, measure, problem):
    tried = SimpleNamespace(pair_distances=measure)
    assert distances._problem(tried, torch.device("cpu")) == problem
    monkeypatch.setattr(_torch, "kernels", tried, raising=False)
    monkeypatch.setattr(distances, "_problem", lambda kernels, device: problem)
    find = distances.fused.__wrapped__
    if problem is None:
        assert find(torch.device("cuda:3")) is tried
        return
    with pytest.warns(InputWarning, match=f"cannot be used on cuda:3 .{problem}"):
        assert find(torch.device("cuda:3")) is None


def test_without_triton_torch_does_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, f"{_torch.__name__}.kernels", raising=False)
    monkeypatch.delattr(_torch, "kernels", raising=False)
    assert distances.fused.__wrapped__(torch.device("cuda")) is None


def test_a_cpu_has_no_use_for_them():
    assert distances.fused(torch.device("cpu")) is None
