"""A selection over shards is that of the slow twin, however the points are divided."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adlib.neighbors import _shards, greedy_coreset
from adlib.neighbors._cpu import coreset as on_cpu
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._shards import Coordinator, News, Numbers, new_shard, select_on
from tests import reference
from tests.conftest import quick

RNG = np.random.default_rng(0)
KINDS = {
    "gaussian": RNG.normal(size=(400, 33)),
    "ties": RNG.integers(-2, 3, (400, 3)),
    "duplicates": RNG.permutation(np.repeat(RNG.normal(size=(60, 5)), 5, axis=0)),
    "all equal": np.full((60, 5), 0.3),
    "huge offset": 1e3 + 1e-3 * RNG.normal(size=(300, 33)),
    "mixed scales": RNG.normal(size=(200, 40)) * 10.0 ** RNG.integers(-9, 9, (200, 1)),
}


class InProcess:
    """Shards in this process that may be lost, and made again without any pick."""

    def __init__(self, X, owner, size, *, device="cpu", lose=None):
        n_shards = owner.max() + 1
        self.numbers = [np.flatnonzero(owner == i) for i in range(n_shards)]
        self.X, self.size, self.device, self.lose = X, size, device, lose
        self.n_asked = self.n_lost = 0
        self.shards = [self.make(i) for i in range(n_shards)]

    def make(self, i):
        return new_shard(self.X[self.numbers[i]], self.size, self.device)

    def ask(self, method, requests):
        self.n_asked += 1
        answers = []
        for i, request in enumerate(requests):
            if self.lose is not None and self.lose.random() < 0.3:
                self.shards[i] = self.make(i)
                self.n_lost += 1
            answer = getattr(_shards, method)
            nothing = request is None
            answers.append(None if nothing else answer(self.shards[i], request))
        return answers

    def coordinator(self, block=16):
        numbers = [Numbers.of(some) for some in self.numbers]
        return Coordinator(self.ask, numbers, self.X.shape[1], self.size, block=block)


def divide(n_points, n_shards, how, seed=0):
    """Return which shard holds each point."""
    rng = np.random.default_rng(seed)
    if how == "contiguous":
        return np.sort(np.arange(n_points) % n_shards)
    if how == "in turn":
        return np.arange(n_points) % n_shards
    uneven = rng.choice(n_shards, n_points, p=rng.dirichlet(np.ones(n_shards)))
    uneven[rng.choice(n_points, n_shards, replace=False)] = np.arange(n_shards)
    return uneven


def no_report(n_picked, radius):
    pass


@pytest.mark.parametrize("how", quick(["contiguous", "in turn", "uneven"], "uneven"))
@pytest.mark.parametrize("n_shards", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_any_shards_select_what_the_slow_twin_selects(kind, n_shards, how):
    X = KINDS[kind].astype(np.float32)
    for size in (1, len(X) // 3, len(X)):
        shards = InProcess(X, divide(len(X), n_shards, how), size)
        coordinator = shards.coordinator()
        coordinator.select(np.array([len(X) // 2]), no_report)
        expected = reference.greedy_coreset(X, size, start=len(X) // 2)
        assert np.array_equal(coordinator.picked, expected)
        assert np.array_equal(coordinator.rows, X[expected])


@settings(deadline=None, max_examples=60)
@given(
    n_points=st.integers(1, 60),
    n_features=st.integers(1, 20),
    levels=st.sampled_from([0, 1, 2, 5]),
    block=st.sampled_from([1, 2, 5, 16]),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_any_points_and_blocks_do(n_points, n_features, levels, block, seed, data):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_points, n_features))
    if levels:
        X = rng.integers(-levels, levels + 1, X.shape)
    X = X.astype(np.float32)
    size = data.draw(st.integers(1, n_points), "size")
    n_shards = data.draw(st.integers(1, min(n_points, 7)), "shards")
    shards = InProcess(X, divide(n_points, n_shards, "uneven", seed), size)
    coordinator = shards.coordinator(block)
    coordinator.select(np.array([0]), no_report)
    assert np.array_equal(coordinator.picked, reference.greedy_coreset(X, size, 0))


def test_covering_distances_have_the_bits_of_one_machine():
    X = KINDS["gaussian"].astype(np.float32)
    size = 90
    shards = InProcess(X, divide(len(X), 3, "uneven"), size)
    coordinator = shards.coordinator()
    coordinator.select(np.array([5]), no_report)
    coordinator._candidates()  # tells of the last picks
    chosen = X[coordinator.picked]
    for shard, numbers in zip(shards.shards, shards.numbers, strict=True):
        shard._selection.update(np.arange(len(numbers)))
        left = np.setdiff1d(numbers, coordinator.picked)
        nearest = shard._selection.nearest[np.searchsorted(numbers, left)]
        expected = [min(squared_distance(X[i], y) for y in chosen) for i in left]
        assert np.array_equal(nearest, expected)


@pytest.mark.parametrize("n_shards", [1, 3])
def test_torchs_shards_select_the_same(n_shards):
    for kind in ("gaussian", "ties", "duplicates"):
        X = KINDS[kind].astype(np.float32)
        owner = divide(len(X), n_shards, "uneven")
        shards = InProcess(X, owner, len(X), device="cpu")
        shards.make = lambda i, of=shards: _torch_shard(of.X[of.numbers[i]], of.size)
        shards.shards = [shards.make(i) for i in range(n_shards)]
        coordinator = shards.coordinator()
        coordinator.select(np.array([1]), no_report)
        expected = reference.greedy_coreset(X, len(X), start=1)
        assert np.array_equal(coordinator.picked, expected)


def _torch_shard(points, size):
    from adlib.neighbors._torch.coreset import Shard

    return Shard(points, size, "cpu")


def test_a_shard_that_was_made_again_is_told_all_picks_and_nothing_changes():
    X = KINDS["gaussian"].astype(np.float32)
    shards = InProcess(X, divide(len(X), 3, "uneven"), 150, lose=RNG)
    coordinator = shards.coordinator()
    coordinator.select(np.array([9]), no_report)
    assert shards.n_lost > 5
    expected = reference.greedy_coreset(X, 150, start=9)
    assert np.array_equal(coordinator.picked, expected)


def test_picks_that_a_shard_knows_count_once():
    X = KINDS["gaussian"].astype(np.float32)
    once, twice = (new_shard(X, 10) for _ in range(2))
    picks = np.array([3, 50, 7])
    news = News(0, X[picks], picks, 8)
    expected = _shards.candidates_after(once, news)
    _shards.candidates_after(twice, News(0, X[picks[:2]], picks[:2], 8))
    answers = [_shards.candidates_after(twice, news) for _ in range(2)]
    for answer in answers:
        assert all(map(np.array_equal, answer, expected))
    assert twice.n_picked == 3
    assert _shards.candidates_after(new_shard(X, 10), news._replace(n_before=2)) == 0


def test_a_selection_goes_on_from_the_picks_that_are_known():
    X = KINDS["gaussian"].astype(np.float32)
    expected = reference.greedy_coreset(X, 120, start=9)
    coordinator = InProcess(X, divide(len(X), 2, "in turn"), 120).coordinator()
    coordinator.select(expected[:71], no_report)
    assert np.array_equal(coordinator.picked, expected)


def test_a_pickled_shard_goes_on():
    X = KINDS["gaussian"].astype(np.float32)
    shards = InProcess(X, divide(len(X), 2, "in turn"), 120)
    ask, coordinator = shards.ask, shards.coordinator()

    def moved(method, requests):
        shards.shards = pickle.loads(pickle.dumps(shards.shards))
        return ask(method, requests)

    coordinator._ask = moved
    coordinator.select(np.array([9]), no_report)
    expected = reference.greedy_coreset(X, 120, start=9)
    assert np.array_equal(coordinator.picked, expected)


def test_rounds_and_traffic_stay_small():
    X = RNG.normal(size=(6000, 8)).astype(np.float32)
    one, seven = (InProcess(X, divide(6000, n, "in turn"), 600) for n in (1, 7))
    found = [shards.coordinator(256) for shards in (one, seven)]
    for coordinator in found:
        coordinator.select(np.array([0]), no_report)
    assert np.array_equal(found[0].picked, found[1].picked)
    assert found[1].n_rounds <= 1.5 * found[0].n_rounds < 600 / 8
    # Every pick goes to every shard; candidates are some times as many.
    assert found[1].n_bytes < 8 * 7 * found[1].rows.nbytes


@pytest.mark.parametrize("n_threads", ["1", "3"])
def test_devices_of_one_machine_share_the_points(monkeypatch, n_threads):
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    monkeypatch.setattr(on_cpu, "BLOCK", 16)
    X, reports = KINDS["duplicates"].astype(np.float32), []
    picked = select_on(["cpu"] * 3, X, 100, 4, lambda n, radius: reports.append(n))
    assert np.array_equal(picked, greedy_coreset(X, 100, start=4, device="cpu"))
    assert sum(reports) == 99
    few = select_on(["cpu"] * 7, X[:3], 3, 0, lambda n, radius: None)
    assert np.array_equal(few, greedy_coreset(X[:3], 3, start=0, device="cpu"))


@pytest.mark.parametrize("numbers", [[0], [4, 5, 6], [1, 3, 4, 9], [0, 2, 4]])
def test_runs_hold_the_numbers_they_were_made_of(numbers):
    numbers = np.array(numbers)
    runs = Numbers.of(numbers)
    assert runs.n_points == len(numbers)
    assert np.array_equal(runs.at(np.arange(len(numbers))), numbers)
    held, indices = runs.find(np.arange(12))
    assert np.array_equal(np.flatnonzero(held), numbers)
    assert np.array_equal(indices, np.arange(len(numbers)))
