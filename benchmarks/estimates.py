"""How near `PatchCore.estimate` comes to the time and memory of the fit itself.

    python benchmarks/estimates.py ROOT [--classes screw magnetic_tile]
        [--coresets 0.01 0.05 0.1] [--sizes 320]

For each setting the estimate from the first images, then the fit of all, in a process
of its own: seconds, the peak of memory above that before it, and their ratios. Run
nothing else; the settings take one to five minutes each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from peers.memory import above_idle

from adlib import PatchCore
from adlib.datasets import read_samples

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--coresets", nargs="+", type=float, default=[0.01, 0.05, 0.1])
    parser.add_argument("--sizes", nargs="+", type=int, default=[320])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        answer, sys.stdout = sys.stdout, sys.stderr
        json.dump(measure(arguments), answer)
        return
    columns = ["class", "image_size", "coreset", "estimate, s", "fit, s", "ratio"]
    columns += ["estimate, MiB", "fit, MiB", "ratio"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for name, size, share in product(
        arguments.classes, arguments.sizes, arguments.coresets
    ):
        command = [sys.executable, __file__, str(arguments.root), "--one"]
        command += ["--classes", name, "--sizes", f"{size}", "--coresets", f"{share}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        about, memory, seconds, peak = json.loads(done.stdout)
        cells = [name, f"{size}", f"{share:g}"]
        cells += [f"{about:.1f}", f"{seconds:.1f}", f"{seconds / about:.2f}"]
        cells += [f"{memory:.0f}", f"{peak:.0f}", f"{peak / memory:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def measure(arguments: argparse.Namespace) -> list[float]:
    """Return the estimated seconds and MiB of one setting, and those of its fit."""
    samples = read_samples(arguments.root, arguments.classes)
    good = [one.image_path for one in samples if one.split == "train"]
    model = PatchCore(
        image_size=arguments.sizes[0], coreset=arguments.coresets[0], progress=False
    )
    model.fit(good[:32])  # kernels are made, and memory for a batch is taken
    about = model.estimate(good)
    seconds = [time.perf_counter()]
    peak = above_idle(lambda: model.fit(good))
    seconds.append(time.perf_counter())
    return [about.seconds, about.memory / MIB, seconds[1] - seconds[0], peak]


if __name__ == "__main__":
    main()
