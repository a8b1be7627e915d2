"""Kill processes with SIGKILL at random moments while they write; look at what is left.

    python -m tests.robustness.kills --kills 200 --seed 0

For each kind of work: a child process does it and is killed at a moment drawn from the
time that it takes. Then it is checked that a reader finds the old file or the whole new
one, and that the work, started again, goes on and ends as if nothing had happened.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"
PHASE = """
import sys
from pathlib import Path
import yaml
from adlib.study._run_study import locked
config = yaml.safe_load(Path(sys.argv[2]).read_text())
lock = locked(Path(config["paths"]["outputs"]), "phase", print)  # as Phase.start does
results = Path(config["paths"]["outputs"]) / "results"
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
            import adlib

            adlib.load(folder / f"{name}.adlib").save(folder / f"{name}.adlib")
        shutil.copy(folder / "padim.adlib", folder / "line.adlib")

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        import adlib

        models = [adlib.load(folder / f"{n}.adlib") for n in ("patchcore", "padim")]
        ready()
        for model in itertools.chain(*[models] * 8):
            model.save(folder / "line.adlib")

    def check(self, folder: Path) -> None:
        import adlib

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
        from adlib.datasets import (
            create_clean_split,
            generate_shifted_set,
            read_samples,
        )

        split = create_clean_split(read_samples(folder / "data"), "tile")
        place = folder / name
        generate_shifted_set(
            [split], folder / "data", place, folder / f"{name}.json", progress=False
        )

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        import torchvision  # noqa: F401 - it takes longer than all the rest

        import adlib.datasets

        if (folder / "part.json").exists():  # done: begin anew
            shutil.rmtree(folder / "part")
            (folder / "part.json").unlink()
        ready()
        self.generate(folder, "part")
        assert (
            adlib.datasets.check_shifted_set(
                folder / "part.json", folder / "part", progress=False
            )
            == []
        )

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
        import adlib

        model = adlib.load(MODELS / "padim-0.1.0.adlib", device="cpu")
        images = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
        return model.score(images)

    def cached(self, folder: Path) -> np.ndarray:
        from adlib.features import FeatureCache, use_feature_cache

        use_feature_cache(FeatureCache(folder / "cache", 100_000))
        return self.scores()

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        import adlib.features  # noqa: F401

        ready()
        self.cached(folder)

    def check(self, folder: Path) -> None:
        from adlib.features import FeatureCache

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
        from adlib.study import Config, run_study

        paths = {name: folder / name for name in ("processed", "shifted", "outputs")}
        config = Config.from_dict({"data": {"root": folder / "data"}, "paths": paths})
        scripts = sorted(folder.glob("phase*.py"))
        runs = run_study(config, scripts=scripts, say=lambda line: None)
        return runs["state"].tolist()

    def work(self, folder: Path, ready: Callable[[], None]) -> None:
        import adlib.study

        assert adlib.study.run_study
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


WORKS = {"save": Save, "shift": Shift, "cache": Cache, "study": Study}


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of every file but the hidden ones."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def started(name: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start the processes of a task; return them once their work begins."""
    command = [sys.executable, "-m", "tests.robustness.kills", "--child", str(folder)]
    children = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(WORKS[name].n_children)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"!", "a child failed"
    return children


def ended_well(child: subprocess.Popen[bytes]) -> bool:
    """Wait for a process; return whether it ended by itself, and not by a kill."""
    code = child.wait()
    assert child.stdout is not None
    child.stdout.close()
    assert code in (0, -signal.SIGKILL), "a child failed"
    return code == 0


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
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        WORKS[asked.works[0]]().work(asked.child, lambda: print(end="!", flush=True))
        return
    for name in asked.works:
        with tempfile.TemporaryDirectory() as folder:
            found = kill_often(name, asked.kills, asked.seed, Path(folder))
            print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
