"""The blocked coreset is, index by index, the one picked a point at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from adlib.features import Backbone, patch_embeddings
from adlib.images import open_source, read_batches
from adlib.neighbors import greedy_coreset
from adlib.neighbors._cpu import coreset as on_cpu
from adlib.neighbors._points import as_points
from adlib.neighbors._torch import coreset as on_torch
from adlib.neighbors._torch.bounds import Sketcher
from tests import reference

TWINS = {
    "cpu": on_cpu.select,
    "torch": partial(on_torch.select, device="cpu"),
}
TILES = Path(__file__).parents[2].parent / "shared/data/mvtec_ad/magnetic_tile"


def select(twin, X, size, start=0, report=lambda n_picked, radius: None):
    return TWINS[twin](as_points(X, "X", "test"), size, start, report)


def shrink(monkeypatch, block, tile, steps):
    """Let many rounds and tiles happen on few points."""
    monkeypatch.setattr(on_cpu, "BLOCK", block)
    monkeypatch.setattr(on_cpu, "WIDENING", 1 + tile % 4)
    monkeypatch.setattr(on_cpu, "FIRST_ROWS", 7 * tile)
    monkeypatch.setattr(on_torch, "BLOCK", block)
    monkeypatch.setattr(on_torch, "STEPS", steps)
    monkeypatch.setattr(on_torch, "SIMILARITIES_AT_ONCE", tile * block)


@pytest.fixture
def small_blocks(monkeypatch):
    shrink(monkeypatch, block=16, tile=23, steps=5)


def make(kind):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 33))
    return {
        "one feature": rng.normal(size=(200, 1)),
        "gaussian": noise,
        "many features": rng.normal(size=(150, 700)),
        "many points": rng.normal(size=(3000, 3)),
        "ties": rng.integers(-2, 3, (400, 3)),
        "many ties": rng.integers(0, 2, (300, 6)),
        "duplicates": rng.permutation(np.repeat(noise[:75], 4, axis=0)),
        "all equal": np.full((60, 5), 0.3),
        "zeros": np.zeros((60, 5)),
        "huge offset": 1e3 + 1e-3 * noise,
        "huge offset, one apart": 1e3 + 1e-3 * noise + (np.arange(300) == 9)[:, None],
        "tiny": 1e-20 * noise,
        "smallest": 1e-44 * rng.integers(0, 9, (200, 3)),
        "large": 1e15 * noise,
        "mixed scales": noise * 10.0 ** rng.integers(-12, 12, (300, 1)),
        "one point": noise[:1],
    }[kind].astype(np.float32)


KINDS = [
    "one feature",
    "gaussian",
    "many features",
    "many points",
    "ties",
    "many ties",
    "duplicates",
    "all equal",
    "zeros",
    "huge offset",
    "huge offset, one apart",
    "tiny",
    "smallest",
    "large",
    "mixed scales",
    "one point",
]


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", KINDS)
def test_small_blocks_select_what_the_slow_twin_selects(kind, twin):
    X = make(kind)
    for size in {1, 1 + len(X) // 10, min(len(X), 400)}:
        expected = reference.greedy_coreset(X, size, start=len(X) // 3)
        assert np.array_equal(select(twin, X, size, len(X) // 3), expected)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", ["many points", "ties", "huge offset"])
def test_whole_blocks_select_what_the_slow_twin_selects(kind, twin):
    X = make(kind)
    expected = reference.greedy_coreset(X, len(X), start=1)
    assert np.array_equal(select(twin, X, len(X), 1), expected)


@pytest.mark.parametrize("twin", TWINS)
@settings(deadline=None, max_examples=60)
@given(
    n_points=st.integers(1, 60),
    n_features=st.integers(1, 20),
    seed=st.integers(0, 2**32),
    exponent=st.integers(-120, 45),
    levels=st.sampled_from([0, 1, 2, 5]),
    block=st.sampled_from([1, 2, 5, 16]),
    data=st.data(),
)
def test_any_points_give_what_the_slow_twin_gives(
    twin, n_points, n_features, seed, exponent, levels, block, data
):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_points, n_features))
    if levels:  # integers times a power of two: ties are exact in float64
        X = rng.integers(-levels, levels + 1, X.shape).astype(np.float64)
    X = (X * 2.0**exponent).astype(np.float32)
    size = data.draw(st.integers(1, n_points), "size")
    start = data.draw(st.integers(0, n_points - 1), "start")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch, block=block, tile=7, steps=3)
        picked = select(twin, X, size, start)
    assert np.array_equal(picked, reference.greedy_coreset(X, size, start))


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("block", "tile"), [(1, 1), (7, 1000), (64, 5), (10**6, 31)])
def test_block_and_tile_sizes_do_not_matter(monkeypatch, twin, block, tile):
    X, size = make("duplicates"), min(40 * block, 120)  # some blocks of each size
    expected = reference.greedy_coreset(X, size, start=0)
    shrink(monkeypatch, block, tile, steps=block)
    assert np.array_equal(select(twin, X, size), expected)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["gaussian", "many ties", "huge offset"])
@pytest.mark.parametrize("n_threads", ["1", "3", "8"])
def test_the_number_of_threads_does_not_matter(monkeypatch, kind, n_threads):
    X = make(kind)
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    expected = reference.greedy_coreset(X, 150, start=0)
    assert np.array_equal(select("cpu", X, 150), expected)


@pytest.mark.usefixtures("small_blocks")
def test_both_twins_agree_where_only_the_order_of_summation_tells_points_apart():
    rng = np.random.default_rng(0)
    values = np.linspace(0.1, 1.3, 40)
    X = np.array([np.zeros(40)] + [rng.permutation(values) for _ in range(60)])
    assert np.array_equal(select("cpu", X, 30), select("torch", X, 30))


@pytest.mark.parametrize("twin", TWINS)
def test_ties_go_to_the_lowest_index(twin):
    X = [[0.0], [-1.0], [1.0], [1.0], [-1.0]]
    assert select(twin, X, 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("twin", TWINS)
def test_duplicates_of_selected_points_come_last(twin):
    X = [[5.0], [5.0], [0.0], [5.0], [1.0]]
    assert select(twin, X, 5, start=1).tolist() == [1, 2, 4, 0, 3]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("twin", TWINS)
def test_progress_counts_every_pick_and_tells_the_covering_radius(twin):
    X, reports = make("gaussian"), []
    picked = select(twin, X, 120, report=lambda n, radius: reports.append((n, radius)))
    n_picked = np.cumsum([n for n, _ in reports])
    assert n_picked[-1] == 120
    assert len(reports) > 5
    among = X[:, None, :].astype(np.float64) - X[picked][None]
    covered = np.minimum.accumulate(np.linalg.norm(among, axis=2), axis=1)
    radii = np.append(np.inf, covered.max(axis=0))  # with 0, 1, 2, ... points
    for n, (_, radius) in zip(n_picked, reports, strict=True):
        before, after = radii[n - 1], radii[n]
        assert after * (1 - 1e-9) <= radius <= before * (1 + 1e-9)


@pytest.mark.parametrize("twin", TWINS)
def test_the_points_are_left_as_they_are(twin):
    X = make("gaussian")
    before = X.copy()
    select(twin, X, 100)
    assert np.array_equal(X, before)


@pytest.mark.parametrize("twin", TWINS)
def test_points_that_must_not_be_written_to_are_fine(twin):
    X = make("gaussian")
    expected = select(twin, X, 20)
    X.flags.writeable = False
    assert np.array_equal(select(twin, X, 20), expected)


@pytest.mark.parametrize(
    "variant",
    [
        lambda X: X.astype(np.float64),
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X.tolist(),
        torch.from_numpy,
    ],
    ids=["float64", "fortran", "strided", "list", "tensor"],
)
def test_the_form_of_the_points_does_not_matter(variant):
    X = make("gaussian")
    expected = greedy_coreset(X, 30, start=4, device="cpu")
    assert np.array_equal(
        greedy_coreset(variant(X), 30, start=4, device="cpu"), expected
    )


@pytest.mark.parametrize("mapped", [True, False])
def test_where_points_and_the_rest_are_held_does_not_matter(mapped, tmp_path):
    X = np.random.default_rng(3).normal(size=(3000, 40)).astype(np.float32)
    expected = greedy_coreset(X, 500, start=0, device="cpu")
    np.testing.assert_array_equal(expected, reference.greedy_coreset(X, 500, 0))
    if mapped:
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    folder = tmp_path / "scratch"
    found = greedy_coreset(X, 500, start=0, device="cpu", scratch=str(folder))
    np.testing.assert_array_equal(found, expected)
    assert list(folder.iterdir()) == []


def test_the_result_is_different_int64_indices_from_start_on():
    picked = greedy_coreset(make("many ties"), 300, start=np.int64(17), device="cpu")
    assert picked.dtype == np.int64
    assert picked[0] == 17
    assert np.array_equal(np.sort(picked), np.arange(300))


def test_a_larger_coreset_begins_with_a_smaller_one():
    X = make("gaussian")
    large = greedy_coreset(X, 200, start=0, device="cpu")
    assert np.array_equal(greedy_coreset(X, 40, start=0, device="cpu"), large[:40])


def test_random_state_draws_the_start():
    X = make("gaussian")
    picked = [greedy_coreset(X, 5, random_state=seed, device="cpu") for seed in (3, 3)]
    assert np.array_equal(*picked)
    starts = {
        int(greedy_coreset(X, 1, random_state=seed, device="cpu")[0])
        for seed in range(20)
    }
    assert len(starts) > 10


def test_start_overrides_random_state():
    X = make("gaussian")
    for seed in range(3):
        assert greedy_coreset(X, 1, start=8, random_state=seed, device="cpu")[0] == 8


def test_no_random_state_draws_a_new_start():
    X = make("gaussian")
    starts = {int(greedy_coreset(X, 1, device="cpu")[0]) for _ in range(20)}
    assert len(starts) > 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 0}, ValueError, r"size of greedy_coreset .* \[1, 5\]; got 0"),
        ({"size": 6}, ValueError, r"size of greedy_coreset .* \[1, 5\]; got 6"),
        ({"size": True}, TypeError, "size of greedy_coreset .*got True"),
        ({"size": 0.1}, TypeError, r"size of greedy_coreset .*got 0\.1"),
        ({"size": "2"}, TypeError, "size of greedy_coreset .*got '2'"),
        ({"start": 5}, ValueError, r"start of greedy_coreset .* \[0, 4\]; got 5"),
        ({"start": -1}, ValueError, r"start of greedy_coreset .* \[0, 4\]; got -1"),
        ({"start": False}, TypeError, "start of greedy_coreset .*got False"),
        ({"random_state": -1}, ValueError, "random_state of greedy_coreset"),
        ({"random_state": 0.5}, TypeError, "random_state of greedy_coreset"),
        ({"X": np.zeros(5)}, ValueError, r"X of greedy_coreset .*\(5,\)"),
        ({"X": np.zeros((0, 3))}, ValueError, r"X of greedy_coreset .*\(0, 3\)"),
        ({"X": [["a"], ["b"]]}, TypeError, "X of greedy_coreset .*<U1"),
        ({"X": [[0.0], [np.nan]]}, ValueError, "X of greedy_coreset .*nan in row 1"),
        ({"device": "gpu"}, ValueError, "device of greedy_coreset .*got 'gpu'"),
        ({"device": "cuda:"}, ValueError, "device of greedy_coreset .*got 'cuda:'"),
        ({"device": 0}, TypeError, "device of greedy_coreset .*got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change, error, message):
    arguments = {"X": np.zeros((5, 2)), "size": 2, "device": "cpu"} | change
    with pytest.raises(error, match=message):
        greedy_coreset(**arguments)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"shows 0 CUDA devices; got '{device}'"):
        greedy_coreset(np.zeros((5, 2)), 2, device=device)


class Waits(TorchDispatchMode):
    """Count the operations for whose result the host waits, and all others."""

    def __init__(self):
        super().__init__()
        self.waits, self.others = [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        indices = args[1] if name in {"index", "index_put_"} else []
        masks = any(i is not None and i.dtype == torch.bool for i in indices)
        if masks or name in {"nonzero", "_local_scalar_dense", "masked_select"}:
            self.waits.append(name)
        else:
            self.others += 1
        return operation(*args, **(kwargs or {}))


def test_torch_waits_for_the_device_by_the_block_never_by_the_pick(monkeypatch):
    reads, read, blocks = [], on_torch._read, []
    monkeypatch.setattr(
        on_torch, "_read", lambda numbers: reads.append(1) or read(numbers)
    )
    X = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
    with Waits() as seen:
        select("torch", X, 900, report=lambda n, radius: blocks.append(n))
    assert len(blocks) < 900 / 50
    assert seen.waits == ["nonzero"] * (2 * len(blocks) - 1)
    assert len(blocks) <= len(reads) <= 3 * len(blocks)
    assert seen.others > 900


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_the_gpu_picks_inside_a_block_without_waiting():
    nearest = torch.rand(5000, dtype=torch.float64, device="cuda")
    distances = torch.rand(1024, 1024, dtype=torch.float64, device="cuda")
    radii, places = nearest.new_empty(64), nearest.new_empty(64, dtype=torch.int64)
    torch.cuda.set_sync_debug_mode("error")
    try:
        block, _, _ = on_torch._farthest(nearest, on_torch.BLOCK)
        on_torch._pick_inside(distances, nearest[block], radii, places)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("offset", [0.0, 1e3])  # in units of the spread
def test_torch_measures_few_pairs_however_far_the_origin_is(monkeypatch, offset):
    measured, measure = [], on_torch.pair_distances

    def spy(left, i, right, j):
        if left is not right:  # outside the block
            measured.append(len(i))
        return measure(left, i, right, j)

    monkeypatch.setattr(on_torch, "pair_distances", spy)
    noise = np.random.default_rng(0).normal(size=(3000, 40))
    X = (offset + noise).astype(np.float32)
    select("torch", X, 300)
    assert sum(measured) < 0.02 * 3000 * 300


@pytest.mark.usefixtures("small_blocks")
def test_torch_holds_no_more_similarities_at_once_than_stated(monkeypatch):
    held, multiply = [], Sketcher.similarities

    def spy(self, queries, database):
        similarities = multiply(self, queries, database)
        held.append(similarities.numel())
        return similarities

    monkeypatch.setattr(Sketcher, "similarities", spy)
    select("torch", make("gaussian"), 100)
    assert max(held) <= on_torch.SIMILARITIES_AT_ONCE


@pytest.mark.usefixtures("small_blocks")
def test_torch_selects_the_same_under_autocast():
    X = make("gaussian")
    expected = select("torch", X, 100)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(select("torch", X, 100), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("whole", [True, False], ids=["whole blocks", "small blocks"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_selects_what_the_slow_twin_selects(kind, whole, monkeypatch):
    if not whole:
        shrink(monkeypatch, block=16, tile=23, steps=5)
    X = make(kind)
    expected = reference.greedy_coreset(X, len(X), start=0)
    picked = greedy_coreset(X, len(X), start=0, device="cuda")
    assert np.array_equal(picked, expected)


@pytest.mark.slow
@pytest.mark.skipif(not TILES.is_dir(), reason=f"the data set {TILES} is not here")
def test_real_patch_embeddings_give_what_the_slow_twin_gives():
    paths = sorted((TILES / "train/good").iterdir())[:26]
    backbone = Backbone()
    embeddings = [
        patch_embeddings(backbone(torch.from_numpy(batch.images)), "concat").numpy()
        for batch in read_batches(
            open_source(paths, "test"), image_size=(224, 224), batch_size=8
        )
    ]
    stacked = np.concatenate(embeddings)
    X = stacked.reshape(-1, stacked.shape[-1])[:20_000]
    assert len(X) == 20_000
    expected = reference.greedy_coreset(X, 1000, start=123)
    assert np.array_equal(select("cpu", X, 1000, 123), expected)
    assert np.array_equal(select("torch", X, 100, 123), expected[:100])
