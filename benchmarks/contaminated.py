"""What defects among the training images do to image AUROC, and what helps.

    python benchmarks/contaminated.py ROOT [--classes screw magnetic_tile] [--draws 10]

Some training images are drawn, and a share of them is replaced by images of defects,
which then leave the test set. Compared are PatchCore as it is; ``contamination`` of
several shares; fitting again without the images that ``examine`` says stand out; and
the idea of SoftPatch (Jiang et al., NeurIPS 2022), as its code has it: the local
outlier factor of each patch among those at its position, 15 % of patches left out, and
distances times the factor of the nearest entry. Images are embedded once. Columns give
the mean AUROC over the draws, and its difference to PatchCore as it is, with the 95 %
interval of the mean of the paired differences. Before them stands how many defects and
how many good images stand out, in the mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from few_images import drawn, embedded, paths_of, shown
from sklearn.neighbors import LocalOutlierFactor

from adlib import PatchCore
from adlib._validation import coreset_size
from adlib.estimators._aggregation import n_highest, top_mean_scores
from adlib.estimators._contamination import distances_to_others, without_farthest
from adlib.estimators._examination import stand_out_limit
from adlib.metrics import compute_auroc
from adlib.neighbors import MemoryBank, greedy_coreset

SHARES = (0.01, 0.02, 0.05, 0.1, 0.15)
N_NEIGHBORS, LEFT_OUT = 6, 0.15  # SoftPatch's
CORESET, TOP = 0.05, 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--mixed", nargs="+", type=float, default=[0.0, 0.05, 0.1, 0.2])
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--pool", type=int, default=240, help="good training images")
    parser.add_argument("--test", type=int, help="of each label; default: all")
    arguments = parser.parse_args()
    columns = ["as it is", *(f"contamination={share:g}" for share in SHARES)]
    columns += ["without those that stand out", "SoftPatch's idea"]
    for name in arguments.classes:
        rng = np.random.default_rng(0)
        train, good, bad = paths_of(arguments.root, name)
        pool, normal, defects = (
            embedded(drawn(paths, n, rng), None)[:, 0]
            for paths, n in (
                (train, arguments.pool),
                (good, arguments.test),
                (bad, arguments.test),
            )
        )
        n_images = min(arguments.images, len(pool))
        print(f"\n{name}: {n_images} training images, {len(normal)} good and at most ")
        print(f"{len(defects)} defective test images, {arguments.draws} draws\n")
        print("| defects | stand out: defects, good |", " | ".join(columns), "|")
        print("|" + "---|" * (2 + len(columns)))
        for share in arguments.mixed:
            n_bad = round(share * n_images)
            found, odd = [], []
            for seed in range(arguments.draws):
                numbers = np.random.default_rng(seed)
                kept = numbers.permutation(len(pool))[: n_images - n_bad]
                inside = numbers.permutation(len(defects))[:n_bad]
                images = np.concatenate([pool[kept], defects[inside]])
                outside = np.delete(defects, inside, axis=0)
                aurocs, stands_out = compared(images, [normal, outside], seed)
                found.append(aurocs)
                odd.append((stands_out[-n_bad or n_images :].sum(), stands_out.sum()))
            of_bad, of_all = np.mean(odd, axis=0)
            cells = [
                f"{100 * share:g} % ({n_bad})",
                f"{of_bad:.1f}, {of_all - of_bad:.1f}",
                *shown(np.array(found)),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def compared(
    images: np.ndarray, test: list[np.ndarray], seed: int
) -> tuple[list[float], np.ndarray]:
    """Return the AUROC of each way to fit, and which images stand out."""
    n_images, n_patches, n_features = images.shape
    points = images.reshape(-1, n_features)
    numbers = np.repeat(np.arange(n_images), n_patches)
    size = coreset_size(CORESET, len(points))
    labels = np.repeat([0, 1], [len(part) for part in test])
    queries = np.concatenate(test)

    def bank_of(kept: np.ndarray) -> tuple[MemoryBank, np.ndarray]:
        some = points[kept]
        kept = kept[np.sort(greedy_coreset(some, min(size, len(some)), random_state=0))]
        origins = np.stack([numbers[kept], *np.zeros((2, len(kept)), int)], axis=1)
        return MemoryBank(points[kept], origins=origins), kept

    def auroc(bank: MemoryBank, weights: np.ndarray | None = None) -> float:
        scores = []
        for some in queries:
            if weights is None:
                lengths = bank.farthest(some[None], n_highest(n_patches, TOP)).distances
            else:
                nearest = bank.kneighbors(some)
                lengths = (nearest.distances * weights[nearest.indices]).T
            scores.append(top_mean_scores(lengths, TOP)[0])
        return compute_auroc(labels, np.array(scores))

    plain, _ = bank_of(np.arange(len(points)))
    found = [auroc(plain)]
    settings = PatchCore(progress=False, random_state=seed)._check_parameters()
    distances = distances_to_others(points, numbers, None, settings, "benchmark")
    found += [auroc(bank_of(without_farthest(distances, share))[0]) for share in SHARES]
    left_out = plain.kneighbors(points, left_out=numbers).distances
    scores = top_mean_scores(left_out.reshape(n_images, n_patches), TOP)
    stands_out = scores > stand_out_limit(scores)
    found.append(auroc(bank_of(np.flatnonzero(~stands_out[numbers]))[0]))
    factors = np.empty((n_images, n_patches), np.float32)
    for place in range(n_patches):
        outliers = LocalOutlierFactor(n_neighbors=min(N_NEIGHBORS, n_images - 1))
        outliers.fit(images[:, place])
        factors[:, place] = -outliers.negative_outlier_factor_
    weights = factors.ravel()
    bank, kept = bank_of(np.flatnonzero(weights <= np.quantile(weights, 1 - LEFT_OUT)))
    found.append(auroc(bank, weights[kept]))
    return found, stands_out


if __name__ == "__main__":
    main()
