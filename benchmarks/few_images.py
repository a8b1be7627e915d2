"""What copies of few training images (``augment``) do to image AUROC, on real images.

    python benchmarks/few_images.py ROOT [--classes screw magnetic_tile] [--draws 20]

From a pool of good training images some are drawn, again and again; a memory bank is
made of them alone, then with each kind of copies, and scores all test images. The bank
has the same size in every column. Every image and copy is embedded once; the draws and
banks then take minutes. Columns give the mean AUROC over the draws, and its difference
to that without copies, with the 95 % interval of the mean of the paired differences.
The pool takes 14 MB an image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import t

from adlib import PatchCore
from adlib._validation import coreset_size
from adlib.datasets import read_samples
from adlib.estimators._aggregation import n_highest, top_mean_scores
from adlib.estimators._patches import embed, gather
from adlib.images import open_source
from adlib.metrics import compute_auroc
from adlib.neighbors import MemoryBank, greedy_coreset

# Names, and which of the 14 grids of an image they are: itself, seven poses, rotations
# by -10, -5, 5 and 10 degrees, darker, brighter.
KINDS = {
    "none": [0],
    "flips": [0, 2, 4, 6],
    "flips, quarter_turns": [*range(8)],
    "rotations": [0, 8, 9, 10, 11],
    "light": [0, 12, 13],
    "all four": [*range(14)],
}
ALL = ("flips", "quarter_turns", "rotations", "light")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--coresets", nargs="+", type=float, default=[0.05, 0.25])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--pool", type=int, default=96)
    parser.add_argument("--test", type=int, help="of each label; default: all")
    arguments = parser.parse_args()
    for name in arguments.classes:
        rng = np.random.default_rng(0)
        train, good, bad = paths_of(arguments.root, name)
        pool = embedded(drawn(train, arguments.pool, rng), ALL)
        test = [drawn(paths, arguments.test, rng) for paths in (good, bad)]
        labels = np.repeat([0, 1], [len(paths) for paths in test])
        queries = embedded([*test[0], *test[1]], None)[:, 0]
        print(f"\n{name}: {len(test[0])} good, {len(test[1])} defective test images, ")
        print(f"{arguments.draws} draws of {len(pool)} training images\n")
        print("| images | coreset |", " | ".join(KINDS), "|")
        print("|" + "---|" * (2 + len(KINDS)))
        for n_images in arguments.images:
            for coreset in arguments.coresets:
                found = [
                    aurocs(pool, n_images, coreset, queries, labels, seed)
                    for seed in range(arguments.draws)
                ]
                cells = [str(n_images), f"{coreset:g}", *shown(np.array(found))]
                print(f"| {' | '.join(cells)} |", flush=True)


def paths_of(root: Path, name: str) -> list[list[str]]:
    """Return the good training images of a class, its good and its defective tests."""
    samples = read_samples(root, [name])
    kinds = (("train", 0), ("test", 0), ("test", 1))
    return [
        [str(s.image_path) for s in samples if (s.split, s.label) == kind]
        for kind in kinds
    ]


def drawn(paths: list[str], n: int | None, rng: np.random.Generator) -> list[str]:
    """Return some of the paths, drawn at random; None: all."""
    chosen = rng.permutation(len(paths))[:n]
    return [paths[i] for i in np.sort(chosen)]


def embedded(paths: list[str], augment: tuple | None) -> np.ndarray:
    """Return (n_images, 1 + n_copies, n_patches, n_features) float32."""
    model = PatchCore(augment=augment, coreset=1, progress=False).fit(paths[:1])
    settings = model._check_parameters()
    source = open_source(paths, "few_images")
    embedder = model._new_embedder(model.backbone_, settings)
    read = embed(source, embedder, settings, "Embedding")
    grids = gather(read, len(paths)).embeddings
    n_patches = model.grid_[0] * model.grid_[1]
    return grids.reshape(len(paths), -1, n_patches, grids.shape[1])


def aurocs(
    pool: np.ndarray,
    n_images: int,
    coreset: float,
    queries: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> list[float]:
    """Return the AUROC with each kind of copies of one draw of images."""
    chosen = np.random.default_rng(seed).permutation(len(pool))[:n_images]
    found = []
    for grids in KINDS.values():
        points = pool[np.ix_(chosen, grids)].reshape(-1, pool.shape[-1])
        size = coreset_size(coreset, n_images * pool.shape[2])
        kept = np.arange(len(points))  # as PatchCore has it, in ascending order
        if size < len(points):
            kept = np.sort(greedy_coreset(points, size, random_state=0))
        bank, n_top = MemoryBank(points[kept]), n_highest(queries.shape[1], 0.01)
        distances = np.concatenate(
            [bank.farthest(some[None], n_top).distances for some in queries]
        )
        found.append(compute_auroc(labels, top_mean_scores(distances, 0.01)))
    return found


def shown(found: np.ndarray) -> list[str]:
    """Return a cell for each kind from (n_draws, n_kinds) AUROCs."""
    cells = [f"{found[:, 0].mean():.3f}"]
    n_draws = len(found)
    for difference in (found[:, 1:] - found[:, :1]).T:
        half = t.ppf(0.975, n_draws - 1) * difference.std(ddof=1) / n_draws**0.5
        mean = difference.mean()
        value = found[:, 0].mean() + mean
        cells.append(f"{value:.3f} ({mean - half:+.3f} to {mean + half:+.3f})")
    return cells


if __name__ == "__main__":
    main()
