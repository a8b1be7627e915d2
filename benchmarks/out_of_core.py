"""Fit the same images in memory and in a file: time, peak memory, disk, equality.

    python benchmarks/out_of_core.py ROOT [--images 2500] [--size 160] [--share 0.125]
    python benchmarks/out_of_core.py ROOT --images 20000 --size 160 --coreset 10000 \\
        --gigabytes 4 --only file

ROOT is a folder of good images, read again and again, each time shifted by some pixels.
Each way runs in a process of its own. That of the file may take so much memory for its
data (RLIMIT_DATA, which the kernel keeps) beyond what three batches take: a share of
the patches, or, with --gigabytes, so much in all. Needs Linux. A line before each row
is what ``estimate`` says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from adlib import PatchCore
from adlib.estimators import _room
from adlib.images import Source, open_source
from adlib.images._decode import read_image
from adlib.images._sources import Again, Item

STEP = 37  # pixels of a shift: no multiple of a patch
STACK = 2**20  # bytes of a thread
PAUSE = 0.005  # seconds between two looks at memory and disk


def shifted(root: str, n_images: int) -> Source:
    """Return so many images, those of ``root`` shifted more with each round."""
    source = open_source(root, "out_of_core")
    items = list(source.items)

    def again() -> Iterator[Item]:
        for number in range(n_images):
            turn, place = divmod(number, len(items))
            pixels = read_image(items[place].image)
            pixels = np.roll(pixels, (turn * STEP, turn * STEP // 2), axis=(0, 1))
            yield Item(number, f"{number:06}", pixels)

    return replace(source, items=Again(again), n_items=n_images)


class Peaks:
    """The most memory and disk that were taken inside of the block."""

    def __init__(self, folder: Path) -> None:
        self.anonymous = self.data = self.disk = 0
        self._folder, self._ended = folder, threading.Event()
        self._free = shutil.disk_usage(folder).free
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._ended.wait(PAUSE):
            taken = process.memory_info()
            self.anonymous = max(self.anonymous, taken.rss - taken.shared)
            self.data = max(self.data, taken.data)
            disk = self._free - shutil.disk_usage(self._folder).free
            self.disk = max(self.disk, disk)


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Fit once; return seconds, bytes and a digest of the model file."""
    # The limit counts 8 MiB for the stack of each thread that is alive; how many are at
    # once is chance, and of a small share it would leave too little for the fit.
    threading.stack_size(STACK)
    images = shifted(given.root, given.images)
    coreset = int(given.coreset) if given.coreset > 1 else given.coreset
    model = PatchCore(image_size=given.size, coreset=coreset, device="cpu")
    # Three, as the next ones are read meanwhile.
    batch = shifted(given.root, 3 * model.batch_size)
    print(f"{given.way}: {model.estimate(images)}", file=sys.stderr)
    with Peaks(folder) as before:  # and what is compiled, and kept
        grid = model.fit(batch).grid_
    n_bytes = given.images * grid[0] * grid[1] * model.memory_bank_.embeddings[0].nbytes
    if given.way == "file":
        _room.default_folder = lambda: folder
        most = before.data + int(given.share * n_bytes)
        if given.gigabytes:
            most = int(given.gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
        n_features = model.memory_bank_.embeddings.shape[1]
        room = model._room(model._check_parameters())
        needs = room.needs(n_bytes // (4 * n_features), n_features)
        assert needs.in_a_file, "memory has room: take a smaller --share"
    times = time.perf_counter(), time.process_time()
    with Peaks(folder) as peaks:
        model.fit(images)
    seconds, cpu = time.perf_counter() - times[0], time.process_time() - times[1]
    resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
    model.save(folder / "model.adlib")
    return {
        "way": given.way,
        "patches": n_bytes,
        "seconds": seconds,
        "cpu": cpu,
        "before": before.anonymous,
        "memory": peaks.anonymous,
        "disk": peaks.disk,
        "model": hashlib.sha256((folder / "model.adlib").read_bytes()).hexdigest()[:16],
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root")
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--coreset", type=float, default=0.01)
    parser.add_argument("--share", type=float, default=0.125)
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument("--only", choices=("memory", "file"))
    parser.add_argument("--folder", help="on the disk that is to be measured")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given, Path(given.folder))))
        return
    names = ["patches in", "patches, GB", "fit, s", "of processors, s", "memory, GB"]
    names += ["disk, GB", "model"]
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    rows = []
    for way in (given.only,) if given.only else ("memory", "file"):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            command += ["--folder", folder]
            run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        row = json.loads(run.stdout)
        rows.append(row)
        beyond = row["memory"] - row["before"]
        print(
            f"| {way} | {row['patches'] / 1e9:.3f} | {row['seconds']:.1f} | "
            f"{row['cpu']:.1f} | {row['memory'] / 1e9:.3f}, {beyond / 1e9:.3f} beyond "
            f"three batches | {row['disk'] / 1e9:.3f} | {row['model']} |",
            flush=True,
        )
    if len(rows) > 1:
        memory, file = rows
        same = "the same" if memory["model"] == file["model"] else "OTHERS"
        print(
            f"In a file {file['seconds'] / memory['seconds']:.2f} times the time, "
            f"{file['cpu'] / memory['cpu']:.2f} times that of processors; the bits of "
            f"the model are {same}."
        )


if __name__ == "__main__":
    main()
