"""Search a bank in a file beside one in memory: same bits, time, memory, disk.

    python benchmarks/mapped_bank.py ROOT/magnetic_tile --folder DISK
    python benchmarks/mapped_bank.py ROOT/magnetic_tile --gigabytes 4 --only file

The bank is made of the patch embeddings of some good images, repeated with noise. Each
way runs in a process of its own. That of the file may take so much memory for its data
(RLIMIT_DATA, which the kernel keeps) beyond what a small search takes: a share of the
bank. The file is dropped from the page cache before the first search ("cold"). The way
"part" is the file again, as much of it as a bank in memory has. Needs Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from out_of_core import Peaks

from adlib import PatchCore
from adlib.neighbors import MemoryBank

N_IMAGES, N_QUERIES = 24, 784
ROWS_AT_ONCE = 2**16
NOISE = 0.3  # of a feature's standard deviation


def embeddings(root: Path, first: int, last: int) -> np.ndarray:
    """Return the patches of some good images, (n_patches, n_features)."""
    paths = sorted((root / "train" / "good").iterdir())[first:last]
    model = PatchCore(coreset=10, device="cpu", progress=False).fit(paths[:2])
    every = [one.patches for one in model.embeddings(paths)]
    return np.concatenate([one.reshape(-1, one.shape[-1]) for one in every])


def write(root: Path, folder: Path, n_bytes: int) -> None:
    """Write a bank and queries that it does not hold."""
    rows = embeddings(root, 0, N_IMAGES)
    rng, spread = np.random.default_rng(0), NOISE * rows.std(axis=0)
    n_rows = n_bytes // rows[0].nbytes
    shape = (n_rows, rows.shape[1])
    bank = np.lib.format.open_memmap(folder / "bank.npy", "w+", np.float32, shape)
    for first in range(0, n_rows, ROWS_AT_ONCE):
        n = min(ROWS_AT_ONCE, n_rows - first)
        noise = rng.normal(size=(n, rows.shape[1])).astype(np.float32) * spread
        bank[first : first + n] = rows[rng.integers(len(rows), size=n)] + noise
    bank.flush()
    others = embeddings(root, N_IMAGES, N_IMAGES + 4)
    np.save(folder / "queries.npy", others[:: len(others) // N_QUERIES][:N_QUERIES])


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build and search once; return seconds, bytes and a digest of what was found."""
    bank = np.load(folder / "bank.npy", mmap_mode="r")
    whole = bank.nbytes
    if given.way != "file":
        bank = bank[: int(given.part * len(bank))]
    queries = np.load(folder / "queries.npy")
    small = bank[: 2**12] if given.way != "memory" else np.array(bank[: 2**12])
    with Peaks(folder) as before:  # and what is compiled
        MemoryBank(small, device="cpu").kneighbors(queries, 3)
    if given.way == "memory":
        bank = np.array(bank)
    else:
        most = psutil.Process().memory_info().data + int(given.share * whole)
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
    with Peaks(folder) as peaks:
        begun = time.perf_counter(), time.process_time()
        found = MemoryBank(bank, device="cpu")
        build = time.perf_counter() - begun[0], time.process_time() - begun[1]
        with (folder / "bank.npy").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        search = []
        for _ in range(3):
            begun = time.perf_counter(), time.process_time()
            near = found.kneighbors(queries, 3)
            search.append(time.perf_counter() - begun[0])
            cpu = time.process_time() - begun[1]
    content = near.distances.tobytes() + near.indices.tobytes()
    return {
        "bank": bank.nbytes,
        "build": build,
        "cold": search[0],
        "warm": min(search[1:]),
        "cpu": cpu,
        "memory": peaks.anonymous - before.anonymous,
        "disk": peaks.disk,
        "found": hashlib.sha256(content).hexdigest()[:16],
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--share", type=float, default=0.125)
    parser.add_argument("--part", type=float, default=0.25, help="that is in memory")
    parser.add_argument("--only", choices=("memory", "part", "file"))
    parser.add_argument("--folder", help="on the disk that is to be measured")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given, Path(given.folder))))
        return
    names = ["bank in", "bank, GB", "build, s (of processors)", "search, s: cold"]
    names += ["warm", "of processors", "memory beyond a small bank's, GB", "disk, GB"]
    print(f"| {' | '.join(names)} | found |\n|{'---|' * (len(names) + 1)}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        write(given.root, Path(folder), int(given.gigabytes * 1e9))
        for way in (given.only,) if given.only else ("memory", "part", "file"):
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            command += ["--folder", folder]
            where = {**os.environ, "XDG_CACHE_HOME": folder}
            run = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=where)
            row = json.loads(run.stdout)
            print(
                f"| {way} | {row['bank'] / 1e9:.3f} | {row['build'][0]:.1f} "
                f"({row['build'][1]:.1f}) | {row['cold']:.2f} | {row['warm']:.2f} | "
                f"{row['cpu']:.2f} | {row['memory'] / 1e9:.3f} | "
                f"{row['disk'] / 1e9:.3f} | {row['found']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
