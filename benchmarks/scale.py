"""Predict rounds, traffic and time of a selection over many workers, and check it.

    python benchmarks/scale.py                            # the table
    python benchmarks/scale.py ROOT/magnetic_tile         # beside shards here
    python benchmarks/scale.py ROOT/magnetic_tile --workers 1 2 4  # beside LocalCluster
    python benchmarks/scale.py ROOT/magnetic_tile --coresets 4 16 --images 24

The constants below were measured; ``ROOT`` prints what gave them: selections over
shards inside this process, whose seconds are the processor's. ``--workers`` fits over
Dask's workers, processes of this machine with one thread each. ``--coresets`` selects a
coreset of so many shards' own coresets, each half as large as the bank. ``--images``
takes other numbers of images than 6 to 48.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adlib import PatchCore
from adlib.neighbors import MemoryBank, _shards, greedy_coreset
from adlib.neighbors._shards import BLOCK, SPARE, Coordinator, Numbers, new_shard

# Measured: see the module's docstring.
PICKS_A_ROUND = 6.0, 0.6  # a, b of a * k ** b, where k picks were made before
MOST_OF_A_BLOCK = 0.87  # that a round picks
NEW_ROWS = 0.87  # share of a block whose rows were not in the block before
SECONDS_A_PAIR = 6e-9  # of patch and pick, a core
SECONDS_A_ROUND = 0.02  # of the coordinator
SECONDS_AN_IMAGE = 0.1  # to read it and compute its patches, a core
# Assumed.
BANDWIDTH = 1.25e9  # bytes a second of the coordinator's link: 10 Gbit/s
LATENCY = 0.5e-3  # seconds a message
SECONDS_A_TASK = 1e-3  # of Dask's scheduler, with client and worker
PATCHES_AN_IMAGE, N_FEATURES, CORES = 1600, 152, 8


class Cost(NamedTuple):
    """What a selection is predicted to take."""

    rounds: float
    n_bytes: float  # what Coordinator.n_bytes counts
    reading: float  # seconds
    computing: float
    waiting: float  # seconds for messages, scheduler and coordinator
    memory: float  # bytes of a worker

    @property
    def seconds(self) -> float:
        return self.reading + self.computing + self.waiting


def predicted_rounds(n_picks: int) -> float:
    """Return how many rounds make so many picks."""
    (a, b), most = PICKS_A_ROUND, MOST_OF_A_BLOCK * BLOCK
    full = (most / a) ** (1 / b)  # picks from which on a round makes the most
    growing = 1 + min(n_picks, full) ** (1 - b) / (a * (1 - b))
    return growing + max(0.0, n_picks - full) / most


def predicted_told(n_picks: int) -> float:
    """Return the picks that shards are told: not those of the last, half a round."""
    a, b = PICKS_A_ROUND
    return n_picks - min(MOST_OF_A_BLOCK * BLOCK, a * n_picks**b) / 2


def predicted_bytes(n_picks: int, n_workers: int, n_features: int) -> float:
    """Return the traffic of all rounds."""
    rounds = predicted_rounds(n_picks)
    new_rows, told = NEW_ROWS * BLOCK * rounds, predicted_told(n_picks)
    row = 4 * n_features
    offered = min(BLOCK, -(-SPARE * BLOCK // n_workers))
    to_shards = told * (n_workers * row + 8)
    return to_shards + rounds * n_workers * offered * 16 + new_rows * (row + 8)


def predict(n_patches: int, n_picks: int, n_workers: int) -> Cost:
    """Return the cost on workers of ``CORES`` cores each."""
    rounds = predicted_rounds(n_picks)
    n_bytes = predicted_bytes(n_picks, n_workers, N_FEATURES)
    cores = CORES * n_workers
    # Two requests a round: candidates of all workers, rows of the block.
    messages = 2 * rounds * (2 * LATENCY + n_workers * SECONDS_A_TASK)
    row = 4 * N_FEATURES
    return Cost(
        rounds,
        n_bytes,
        n_patches / PATCHES_AN_IMAGE * SECONDS_AN_IMAGE / cores,
        n_patches * n_picks * SECONDS_A_PAIR / cores,
        messages + rounds * SECONDS_A_ROUND + n_bytes / BANDWIDTH,
        1.5 * n_patches * row / n_workers + 2 * n_picks * row,
    )


def duration(seconds: float) -> str:
    for unit, length in (("years", 3.15e7), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def table() -> None:
    """Print the prediction: a bank of 5 %, then one of 100,000 entries."""
    for name, of in (("5 %", lambda n: n // 20), ("100,000", lambda n: 100_000)):
        print(f"\nBank of {name}\n")
        titles = ["patches", "picks", "workers", "rounds", "traffic, GB", "reading"]
        titles += ["computing", "waiting", "memory of a worker, GB"]
        print(f"| {' | '.join(titles)} |\n|{'--:|' * len(titles)}")
        for power in range(6, 11):
            for n_workers in (1, 30, 1000):
                n_patches = 10**power
                n_picks = min(of(n_patches), n_patches)
                cost = predict(n_patches, n_picks, n_workers)
                print(
                    f"| 10^{power} | {n_picks:,} | {n_workers:,} | {cost.rounds:,.0f} "
                    f"| {cost.n_bytes / 1e9:,.3g} | {duration(cost.reading)} | "
                    f"{duration(cost.computing)} | {duration(cost.waiting)} | "
                    f"{cost.memory / 1e9:,.3g} |"
                )


class Watched(Coordinator):
    """Counts what the prediction's parts are."""

    last: Watched

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.n_new = self.n_offered = self.told = 0
        self.asking, self.begun = 0.0, time.perf_counter()
        Watched.last = self
        ask = self._ask

        def counted(method, requests):
            begun = time.process_time()
            answers = ask(method, requests)
            self.asking += time.process_time() - begun
            if method == _shards.rows_of.__name__:
                self.n_new += sum(len(one) for one in requests if one is not None)
            else:
                self.n_offered += sum(len(one.indices) for one in answers)
                self.told = self.n_picked
            return answers

        self._ask = counted

    def select(self, picks, report):
        super().select(picks, report)
        self.seconds = time.perf_counter() - self.begun

    def row(self, n_patches: int, n_shards: int) -> str:
        n_picks, row = self.n_picked, 4 * self.rows.shape[1]
        rounds = predicted_rounds(n_picks)
        known = self.told * (n_shards * row + 8) + 16 * self.n_offered
        known += self.n_new * (row + 8)
        assert known == self.n_bytes, (known, self.n_bytes)  # the formula is exact
        offered = min(BLOCK, -(-SPARE * BLOCK // n_shards))
        full = self.n_offered == self.n_rounds * n_shards * offered
        guess = predicted_bytes(n_picks, n_shards, self.rows.shape[1])
        return (
            f"| {n_patches:,} | {n_picks:,} | {n_shards} | {rounds:.1f} | "
            f"{self.n_rounds} | {guess / 1e6:.1f} | {self.n_bytes / 1e6:.1f} | "
            f"{self.n_new / self.n_rounds / BLOCK:.2f} | {'yes' if full else 'no'} |"
        )


HEAD = (
    "| patches | picks | shards | rounds predicted | measured | MB predicted "
    "| measured | new rows | all offered |"
)


def embeddings(root: Path, n_images: int) -> np.ndarray:
    paths = sorted((root / "train" / "good").iterdir())[:n_images]
    model = PatchCore(coreset=10, device="cpu", progress=False).fit(paths[:2])
    every = [one.patches for one in model.embeddings(paths)]
    return np.concatenate([one.reshape(-1, one.shape[-1]) for one in every])


def over_shards(X: np.ndarray, n_picks: int, n_shards: int) -> None:
    """Select over shards in this process and print a row."""
    begun = time.process_time()
    parts = [np.arange(i, len(X), n_shards) for i in range(n_shards)]
    shards = [new_shard(X[part], n_picks) for part in parts]
    making = time.process_time() - begun

    def ask(method, requests):
        answer = getattr(_shards, method)
        both = zip(shards, requests, strict=True)
        return [None if sent is None else answer(one, sent) for one, sent in both]

    numbers = [Numbers.of(part) for part in parts]
    found = Watched(ask, numbers, X.shape[1], n_picks)
    begun = time.process_time()
    found.select(np.array([0]), lambda n_picked, radius: None)
    seconds = time.process_time() - begun
    pair = (making + found.asking) / (len(X) * n_picks)
    own = (seconds - found.asking) / found.n_rounds
    row = found.row(len(X), n_shards)
    print(f"{row} {pair:.2g} s a pair, {own:.2g} s a round", flush=True)


def over_workers(root: Path, n_images: int, workers: list[int]) -> None:
    """Fit over Dask's workers and print a row for each number of them."""
    from distributed import Client
    from machines import cluster

    from adlib import distributed
    from adlib.distributed import _fit

    _fit.Coordinator = Watched
    paths = sorted((root / "train" / "good").iterdir())[:n_images]
    global CORES  # noqa: PLW0603 - of a worker here
    print(HEAD)
    for n in workers:
        with cluster(n) as started, Client(started) as client:
            client.run(lambda: __import__("adlib.distributed._workers"))
            begun = time.perf_counter()
            model = distributed.fit(PatchCore(progress=False), paths, client)
            seconds = time.perf_counter() - begun
        n_patches = model.n_patches_
        CORES = 1
        cost = predict(n_patches, Watched.last.n_picked, n)
        row = Watched.last.row(n_patches, n)
        print(
            f"{row} fit {seconds:.1f} s (predicted {cost.seconds:.1f}), selection "
            f"{Watched.last.seconds:.1f} s ({cost.computing + cost.waiting:.1f})",
            flush=True,
        )


def radius(X: np.ndarray, kept: np.ndarray) -> float:
    """Return the largest distance of a point to those that are kept."""
    bank = MemoryBank(X[kept], device="cpu")
    return float(bank.kneighbors(X).distances.max())


def of_coresets(X: np.ndarray, n_picks: int, n_shards: int) -> None:
    """Print covering radii of a coreset and of a coreset of coresets."""
    given = {"start": 0, "device": "cpu"}
    exact = radius(X, greedy_coreset(X, n_picks, **given))
    parts = [np.arange(i, len(X), n_shards) for i in range(n_shards)]
    own, radii = [], []
    for part in parts:
        kept = greedy_coreset(X[part], min(n_picks // 2, len(part)), **given)
        own.append(part[kept])
        radii.append(radius(X[part], kept))
    union = np.concatenate(own)
    kept = greedy_coreset(X[union], n_picks, **given)
    above = radius(X[union], kept)
    found = radius(X, union[kept])
    assert found <= max(radii) + above
    print(
        f"{len(X):,} patches, {n_picks:,} picks, {n_shards} shards: "
        f"radius {exact:.2f}, of coresets {found:.2f} "
        f"({found / exact:.2f} times), bound {max(radii):.2f} + {above:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--images", type=int, nargs="+", default=[6, 12, 24, 48])
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--coresets", type=int, nargs="+")
    parser.add_argument("--ratio", type=float, default=0.05)
    given = parser.parse_args()
    if given.root is None:
        table()
    elif given.workers:
        over_workers(given.root, given.images[0], given.workers)
    elif given.coresets:
        X = embeddings(given.root, given.images[0])
        for n_shards in given.coresets:
            of_coresets(X, int(given.ratio * len(X)), n_shards)
    else:
        X = embeddings(given.root, given.images[-1])
        print(HEAD)
        for n_images in given.images:
            some = X[: len(X) * n_images // given.images[-1]]
            for n_shards in given.shards:
                over_shards(some, int(given.ratio * len(some)), n_shards)


if __name__ == "__main__":
    main()
