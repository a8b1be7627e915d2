"""Kill processes with SIGKILL at random moments while they write; look at what is left.

    python -m tests.robustness.kills --kills 200 --seed 0

For each kind of work: a child process does it and is killed at a moment drawn from the
time that it takes. Then it is checked that a reader finds the old file or the whole new
one, and that the work, started again, goes on and ends as if nothing had happened.

The children are forked by a server that has imported adlib once, which takes longer
than the work.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from PIL import Image

import adlib
from adlib.datasets import (
    check_shifted_set,
    create_clean_split,
    generate_shifted_set,
    read_samples,
)
from adlib.features import FeatureCache, use_feature_cache
from adlib.study import Config, run_study

MODELS = Path(__file__).parents[1] / "models"
# It locks as a phase does (adlib.study._run_study.locked), without importing torch.
PHASE = """
import sys
from pathlib import Path
import yaml
from filelock import FileLock
config = yaml.safe_load(Path(sys.argv[2]).read_text())
outputs = Path(config["paths"]["outputs"])
lock = FileLock(outputs / "state/phase.lock").acquire()
results = outputs / "results"
results.mkdir(exist_ok=True)
with (results.parents[1] / "calls.txt").open("a") as file:
    file.write(Path(__file__).stem + " begun\\n")
(results / (Path(__file__).stem + ".txt")).write_text("x" * 100_000)
with (results.parents[1] / "calls.txt").open("a") as file:
    file.write(Path(__file__).stem + " done\\n")
"""


class Save:
    """Two models take turns in one file."""

    n_children = 1

    def prepare(self, folder: Path) -> None:
        for name in ("patchcore", "padim"):
            shutil.copy(MODELS / f"{name}-0.1.0.adlib", folder / f"{name}.adlib")
            adlib.load(folder / f"{name}.adlib").save(folder / f"{name}.adlib")
        shutil.copy(folder / "padim.adlib", folder / "line.adlib")

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        models = [adlib.load(folder / f"{n}.adlib") for n in ("patchcore", "padim")]
        ready()
        for model in itertools.chain(*[models] * 8):
            model.save(folder / "line.adlib")

    def check(self, folder: Path) -> None:
        adlib.load(folder / "line.adlib")
        found = (folder / "line.adlib").read_bytes()
        wholes = [(folder / f"{n}.adlib").read_bytes() for n in ("patchcore", "padim")]
        assert found in wholes


class Shift:
    """A shifted set is generated."""

    n_children = 1

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        for place in ("train/good", "test/good", "test/hole"):
            images = folder / "data/tile" / place
            images.mkdir(parents=True)
            for number in range(6):
                pixels = rng.integers(0, 256, (64, 64), dtype=np.uint8)
                Image.fromarray(pixels).save(images / f"{number}.png")
        masks = folder / "data/tile/ground_truth/hole"
        masks.mkdir(parents=True)
        for number in range(6):
            mask = np.zeros((64, 64), np.uint8)
            mask[20:44, 20:44] = 255
            Image.fromarray(mask).save(masks / f"{number}_mask.png")
        self.generate(folder, "whole")

    def generate(self, folder: Path, name: str) -> None:
        split = create_clean_split(read_samples(folder / "data"), "tile")
        place = folder / name
        generate_shifted_set(
            [split], folder / "data", place, folder / f"{name}.json", progress=False
        )

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        if (folder / "part.json").exists():  # done: begin anew
            shutil.rmtree(folder / "part")
            (folder / "part.json").unlink()
        ready()
        self.generate(folder, "part")
        found = check_shifted_set(folder / "part.json", folder / "part", progress=False)
        assert found == []

    def check(self, folder: Path) -> None:
        for path in (folder / "part").rglob("*.png"):
            whole = folder / "whole" / path.relative_to(folder / "part")
            assert path.name.startswith(".") or path.read_bytes() == whole.read_bytes()
        if (folder / "part.json").exists():
            assert digests(folder / "part") == digests(folder / "whole")


class Cache:
    """Two processes share a feature cache whose limit makes them delete, too."""

    n_children = 2

    def prepare(self, folder: Path) -> None:
        np.save(folder / "expected.npy", self.scores())

    def scores(self) -> np.ndarray:
        model = adlib.load(MODELS / "padim-0.1.0.adlib", device="cpu")
        images = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
        return model.score(images)

    def cached(self, folder: Path) -> np.ndarray:
        use_feature_cache(FeatureCache(folder / "cache", 100_000))
        try:
            return self.scores()
        finally:
            use_feature_cache(None)

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        ready()
        self.cached(folder)

    def check(self, folder: Path) -> None:
        assert np.array_equal(self.cached(folder), np.load(folder / "expected.npy"))
        assert FeatureCache(folder / "cache", 100_000).n_bytes() <= 100_000


class Study:
    """A study runs its phases, each a process of its own."""

    n_children = 1

    def prepare(self, folder: Path) -> None:
        for place in ("train/good", "test/good", "test/hole"):
            (folder / "data/tile" / place).mkdir(parents=True)
            Image.new("L", (8, 8)).save(folder / "data/tile" / place / "0.png")
        for number in range(3):
            (folder / f"phase0{number}_step.py").write_text(PHASE)

    def run(self, folder: Path) -> list[str]:
        paths = {name: folder / name for name in ("processed", "shifted", "outputs")}
        config = Config.from_dict({"data": {"root": folder / "data"}, "paths": paths})
        scripts = sorted(folder.glob("phase*.py"))
        runs = run_study(config, scripts=scripts, say=lambda line: None)
        return runs["state"].tolist()

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        ready()
        self.run(folder)
        shutil.rmtree(folder / "outputs")  # done: begin anew
        (folder / "calls.txt").unlink()

    def check(self, folder: Path) -> None:
        if not (folder / "outputs").exists():
            return
        self.run(folder)
        results = sorted((folder / "outputs/results").iterdir())
        assert [path.stat().st_size for path in results] == [100_000] * 3
        assert self.run(folder) == ["kept"] * 3
        # A killed phase may still have been at work: never two at once.
        calls = (folder / "calls.txt").read_text().split("\n")[:-1]
        for begun, ended in itertools.pairwise(calls):
            assert not (begun.endswith("begun") and ended.endswith("done")) or (
                begun.split()[0] == ended.split()[0]
            )
        assert not list((folder / "outputs/state").glob("*.tmp"))
        shutil.rmtree(folder / "outputs")
        (folder / "calls.txt").unlink()


class Fit:
    """A fit keeps its patches in a folder, and goes on from there."""

    n_children = 1

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        (folder / "good").mkdir()
        for number in range(48):
            pixels = rng.integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "good" / f"{number:02}.png")
        self.fit(folder, None).save(folder / "expected.adlib")

    def fit(self, folder: Path, cache: Path | None) -> adlib.PatchCore:
        model = adlib.PatchCore(image_size=64, batch_size=2, device="cpu", cache=cache)
        return model.fit(folder / "good")

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        ready()
        self.fit(folder, folder / "patches")

    def check(self, folder: Path) -> None:
        self.fit(folder, folder / "patches").save(folder / "found.adlib")
        found = (folder / "found.adlib").read_bytes()
        assert found == (folder / "expected.adlib").read_bytes()
        left = [path.name for path in (folder / "patches").iterdir()]
        assert left == ["patches.lock"]


WORKS = {"save": Save, "shift": Shift, "cache": Cache, "study": Study, "fit": Fit}


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of every file but the hidden ones."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def _child(name: str, folder: Path, ready: Connection) -> None:
    WORKS[name]().work(folder, lambda: ready.send(None))


def started(name: str, folder: Path) -> list[BaseProcess]:
    """Start the processes of a task; return them once their work begins."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["adlib.estimators", "adlib.study._run_study"])
    children, pipes = [], []
    for _ in range(WORKS[name].n_children):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(name, folder, theirs))
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()  # raises where a child ended without a word
        pipe.close()
    return children


def ended_well(child: BaseProcess) -> bool:
    """Wait for a process; return whether it ended by itself, and not by a kill."""
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), "a child failed"
    return child.exitcode == 0


def kill_often(name: str, n_kills: int, seed: int, folder: Path) -> dict[str, float]:
    """Kill a kind of work until so many kills hit it; raise for what is left wrong."""
    task = WORKS[name]()
    task.prepare(folder)
    children = started(name, folder)
    begun = time.monotonic()
    ended = [ended_well(child) for child in children]
    assert all(ended)
    longest = time.monotonic() - begun
    task.check(folder)
    draw = random.Random(seed)
    hits = misses = 0
    while hits < n_kills:
        children = started(name, folder)
        time.sleep(draw.random() * longest)
        for child in children:
            child.kill()
        ended = [ended_well(child) for child in children]
        if all(ended):
            misses += 1  # it was done before
        else:
            hits += 1
        task.check(folder)
    return {"kills": hits, "too late": misses, "seconds of work": round(longest, 3)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("works", nargs="*", default=list(WORKS), help=", ".join(WORKS))
    parser.add_argument("--kills", type=int, default=50, help="of each kind of work")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.works:
        with tempfile.TemporaryDirectory() as folder:
            found = kill_often(name, asked.kills, asked.seed, Path(folder))
            print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
