"""What `examine` says of real good images: near-duplicates, and which stand out.

    python benchmarks/examined.py ROOT [--images 160]

Each magnetic tile was photographed in up to six exposures, which follow each other: in
the order of the numbers in the files' names, "one tile" are images whose exposures
ascend and whose numbers are less than 150 apart. Of `screw` no part is there twice. For
each share of the memory bank's entries that two images must have in common
(``adlib.estimators._examination.SHARED``): how many pairs are named, and how many of
them are one tile. The last lines say how many good images stand out.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from adlib import PatchCore
from adlib.datasets import read_samples
from adlib.estimators import _examination

APART = 150  # numbers of two exposures of one tile, at most
SHARES = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--images", type=int, default=160)
    arguments = parser.parse_args()
    limit = _examination.SHARED
    _examination.SHARED = min(SHARES)  # all pairs are named; they are counted here
    print("| class | pairs | one tile | share | named | of them one tile |")
    print("|---|---|---|---|---|---|")
    standing = []
    for name in ("magnetic_tile", "screw"):
        samples = read_samples(arguments.root, [name])
        good = [one.image_path for one in samples if one.split == "train"]
        order = np.random.default_rng(0).permutation(len(good))[: arguments.images]
        drawn = [good[i] for i in np.sort(order)]
        found = PatchCore(progress=False).fit(drawn).examine(drawn)
        n_pairs = len(drawn) * (len(drawn) - 1) // 2
        tiles = tiles_of(good) if name == "magnetic_tile" else range(len(good))
        of = dict(zip(good, tiles, strict=True))
        numbers = np.unique([of[path] for path in drawn], return_counts=True)[1]
        same = int((numbers * (numbers - 1) // 2).sum())
        for share in SHARES:
            named = [one for one in found.near_duplicates if one.share >= share]
            true = [len({of[drawn[at]] for at in one.positions}) == 1 for one in named]
            mark = " (the limit)" if share == limit else ""
            cells = [name, n_pairs, same, f"{share:g}{mark}", len(named), sum(true)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
        standing.append(f"{name}: {len(found.stand_out)} of {len(drawn)} stand out")
    print("", *standing, sep="\n")


def tiles_of(paths: list[Path]) -> list[int]:
    """Return the number of the tile that each image shows."""
    numbers = [int(path.stem.partition("num_")[2]) for path in paths]
    exposures = [int(path.stem.removeprefix("exp").partition("_")[0]) for path in paths]
    order = np.argsort(numbers)
    tiles = np.zeros(len(paths), int)
    for before, here in pairwise(order):
        follows = exposures[here] > exposures[before]
        follows &= numbers[here] - numbers[before] < APART
        tiles[here] = tiles[before] + (not follows)
    return tiles.tolist()


if __name__ == "__main__":
    main()
