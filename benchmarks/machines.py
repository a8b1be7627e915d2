"""Fit over Dask's workers against one process: same bytes, time, rounds and traffic.

    python benchmarks/machines.py ROOT/magnetic_tile            # 1, 2, 3 workers
    python benchmarks/machines.py ROOT/magnetic_tile --kills 20
    python benchmarks/machines.py ROOT/magnetic_tile --resume
    python benchmarks/machines.py ROOT/magnetic_tile --shards 1 2 7

Workers are processes of this machine with one thread each, so with more workers than
cores nothing gets faster. ``--kills`` kills random workers between and during the
rounds of a selection; ``--resume`` kills the process that selects. ``--shards`` selects
over shards inside this process, without Dask; seconds there are the processor's, of
all shards together. ``--images`` takes fewer images.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from adlib import PaDiM, PatchCore
from adlib.neighbors import _shards, greedy_coreset
from adlib.neighbors._shards import Coordinator, Numbers, new_shard

PAUSE = 1.0  # seconds at most from the end of a round to the kill of a worker


def cluster(n_workers):
    import dask
    from distributed import LocalCluster

    # It gives up workers that take longer to start again: on a busy machine they do.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=":0",
    )


def file_of(model):
    with TemporaryDirectory() as folder:
        model.save(path := Path(folder) / "model")
        return path.read_bytes()


def timed(work, *given, **named):
    begun = time.perf_counter()
    result = work(*given, **named)
    return result, time.perf_counter() - begun


class Watched(Coordinator):
    """Lets the last selection be asked for rounds and bytes."""

    last = None

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        type(self).last = self


def compare(paths, workers):
    from distributed import Client

    from adlib import distributed
    from adlib.distributed import _fit

    _fit.Coordinator = Watched
    for kind in (PatchCore, PaDiM):
        one, seconds = timed(kind(progress=False).fit, paths)
        expected = file_of(one)
        print(f"{kind.__name__}, {len(paths)} images, one process: {seconds:.1f} s")
        for n in workers:
            with cluster(n) as started, Client(started) as client:
                client.run(lambda: __import__("adlib.distributed._workers"))
                Watched.last = None
                model = kind(progress=False)
                found, seconds = timed(distributed.fit, model, paths, client)
                scores, scoring = timed(distributed.score, found, paths, client)
            same = file_of(found) == expected
            equal = np.array_equal(scores, one.score(paths))
            text = f"{n} workers: {seconds:.1f} s, same bytes: {same}; "
            if Watched.last is not None:
                text += f"{Watched.last.n_rounds} rounds, "
                text += f"{Watched.last.n_bytes / 1e6:.1f} MB; "
            print(f"{text}scored in {scoring:.1f} s, same scores: {equal}", flush=True)


def kill_workers(paths, n_kills, n_workers):
    from distributed import Client

    from adlib import distributed
    from adlib.distributed._picks import Picks

    one, alone = timed(PatchCore(progress=False).fit, paths)
    rng, add, killed = np.random.default_rng(0), Picks.add, []
    begun = time.perf_counter()
    with cluster(n_workers) as started, Client(started) as client:
        waiting = []

        def kill(delay):
            time.sleep(delay)
            pids = [nanny.pid for nanny in started.workers.values() if nanny.pid]
            if pids:  # else all are being started again
                os.kill(pid := int(rng.choice(pids)), signal.SIGKILL)
                killed.append(pid)
                print(f"{time.perf_counter() - begun:.1f} s: killed", flush=True)

        def add_and_kill(self, picks):
            add(self, picks)
            if len(killed) < n_kills and not (waiting and waiting[-1].is_alive()):
                delay = PAUSE * rng.random()
                waiting.append(threading.Thread(target=kill, args=[delay]))
                waiting[-1].start()

        Picks.add = add_and_kill
        model, n_shards = PatchCore(progress=False), 2 * n_workers
        found, seconds = timed(distributed.fit, model, paths, client, n_shards=n_shards)
        for one_kill in waiting:
            one_kill.join()
        Picks.add = add
    same = file_of(found) == file_of(one)
    print(f"{len(killed)} kills of {n_workers} workers: {seconds:.1f} s, same: {same}")
    print(f"one process: {alone:.1f} s")


def resume(paths, n_workers):
    from distributed import Client

    from adlib import distributed

    one = PatchCore(progress=False).fit(paths)
    with (
        TemporaryDirectory() as folder,
        cluster(n_workers) as started,
        Client(started) as client,
    ):
        picks, listed = Path(folder) / "picks", Path(folder) / "paths"
        listed.write_text(json.dumps(list(map(str, paths))))
        order = [sys.executable, __file__, "--child", started.scheduler_address]
        with subprocess.Popen([*order, str(listed), str(picks)]) as child:
            while child.poll() is None:
                if picks.exists() and picks.read_text().count("\n") > 4:
                    child.kill()
                time.sleep(0.02)
        lines = picks.read_text().splitlines()[1:]
        known = sum(len(json.loads(line)) for line in lines)
        model = PatchCore(progress=False)
        found, seconds = timed(distributed.fit, model, paths, client, picks=picks)
    n_bank = len(found.memory_bank_.embeddings)
    same = file_of(found) == file_of(one)
    print(f"killed after {known} of {n_bank} picks, then {seconds:.1f} s: {same}")


def child(address, listed, picks):
    from distributed import Client

    from adlib import distributed

    with Client(address) as client:
        paths = json.loads(Path(listed).read_text(encoding="utf-8"))
        distributed.fit(PatchCore(progress=False), paths, client, picks=picks)


def select(paths, n_shards, ratio):
    model = PatchCore(coreset=1, progress=False).fit(paths)
    every = [one.patches for one in model.embeddings(paths)]
    X = np.concatenate([one.reshape(-1, one.shape[-1]) for one in every])
    del every
    size = int(ratio * len(X))
    greedy_coreset(X[:3000], 300, start=0, device="cpu")  # compiles
    begun = time.process_time()
    expected = greedy_coreset(X, size, start=0, device="cpu")
    alone = time.process_time() - begun
    print(f"{X.shape[0]:,} x {X.shape[1]}, {size:,} picks: {alone:.1f} s", flush=True)
    for n in n_shards:
        parts = [np.arange(i, len(X), n) for i in range(n)]
        begun = time.process_time()
        shards = [new_shard(X[part], size) for part in parts]

        def ask(method, requests, shards=shards):
            answer = getattr(_shards, method)
            both = zip(shards, requests, strict=True)
            return [None if sent is None else answer(one, sent) for one, sent in both]

        runs = [Numbers.of(part) for part in parts]
        coordinator = Coordinator(ask, runs, X.shape[1], size)
        coordinator.select(np.array([0]), lambda n_picked, radius: None)
        seconds = time.process_time() - begun
        same = np.array_equal(coordinator.picked, expected)
        print(
            f"{n} shards: picks equal: {same}, {seconds:.1f} s, "
            f"{coordinator.n_rounds} rounds, {coordinator.n_bytes / 1e6:.1f} MB",
            flush=True,
        )
        del shards, ask


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--images", type=int, help="how many of train/good")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--kills", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--shards", type=int, nargs="+")
    parser.add_argument("--ratio", type=float, default=0.05)
    given = parser.parse_args()
    paths = sorted((given.root / "train" / "good").iterdir())[: given.images]
    if given.kills:
        kill_workers(paths, given.kills, given.workers[-1])
    elif given.resume:
        resume(paths, given.workers[-1])
    elif given.shards:
        select(paths, given.shards, given.ratio)
    else:
        compare(paths, given.workers)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
