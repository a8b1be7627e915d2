"""How much scores depend on batch size and on the number of threads.

    python benchmarks/invariance.py ROOT/screw

Learns 40 images, scores 40 of the test images in batches of 1, 7 and 32, and once more
with one thread in torch, in NumPy's BLAS and in adlib's own kernels. Prints the largest
relative difference from the first scores.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from adlib import PatchCore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    learned = sorted((root / "train" / "good").iterdir())[:40]
    tests = sorted(path for path in (root / "test").rglob("*") if path.is_file())[::4]
    model = PatchCore(batch_size=16).fit(learned)
    scores = model.score(tests)

    def compare(name: str) -> None:
        difference = np.abs(model.score(tests) / scores - 1).max()
        print(f"{name}: {difference:.2g}")

    for batch_size in (1, 7, 32):
        model.set_params(batch_size=batch_size)
        compare(f"batches of {batch_size}")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with threadpool_limits(1):
        compare("one thread")
        again = PatchCore().fit(learned)
    same = np.array_equal(again.memory_bank_.origins, model.memory_bank_.origins)
    print(f"learned with one thread, the coreset is the same: {same}")


if __name__ == "__main__":
    main()
