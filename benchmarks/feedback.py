"""What accepting false alarms does to images that were used for nothing.

    python benchmarks/feedback.py ROOT [--classes screw magnetic_tile] [--draws 3]

Each draw splits the good images: PatchCore with its defaults learns ``--learned`` of
them, 80 calibrate it at 10 %, 80 come down a line, and 40 more set a threshold anew
where that is asked for. Those of the line that FAIL are confirmed good and accepted.
False-positive rate, missed defects and AUROC are of 60 good images that are left and of
40 defects; of 40 other defects, the confirmed ones, it is counted how many pass that
did not, since `adlib accept` would then write nothing. Once all images are as they were
learned; once those of the line, of the threshold and of the test have more noise, as of
another camera (the study's shift, mild). Means over the draws, and the range; of one
draw Clopper and Pearson's 95 % interval.
``--learned`` and the rate were raised once: from 20 screws, or with 40 images at 5 %,
next to no defect was found before anything was accepted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from drift import rgb, shift_of
from scipy.stats import binomtest

from adlib import PatchCore
from adlib.datasets import ShiftDomainTransform, ShiftSettings, read_samples
from adlib.metrics import compute_auroc
from adlib.thresholds import conformal_threshold

N_CALIBRATE, N_LINE, N_ANEW, N_TEST, N_DEFECTS = 80, 80, 40, 60, 40
RATE = 0.1
COLUMNS = ["class", "line", "model", "false alarms on the line", "entries"]
COLUMNS += ["false-positive rate", "missed defects", "AUROC", "confirmed now passing"]
COUNTS = (0, 0, N_TEST, N_DEFECTS, 0, 0)  # of images, where a column is a share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--learned", type=int, default=60)
    arguments = parser.parse_args()
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for seed in range(arguments.draws):
        for name in arguments.classes:
            samples = read_samples(arguments.root, [name])
            for line in ("as learned", "noise"):
                columns = draw(samples, line, arguments.learned, seed)
                for model, values in columns.items():
                    found.setdefault((name, line, model), []).append(values)
                    row = " ".join(f"{value:.4g}" for value in values)
                    print(f"draw {seed}: {name}, {line}, {model}: {row}", flush=True)
    print(f"\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for key, rows in found.items():
        print(f"| {' | '.join([*key, *map(text, np.array(rows).T, COUNTS)])} |")


def draw(samples, line: str, n_learned: int, seed: int) -> dict[str, list[float]]:
    """Return the columns of numbers for each model of one draw."""
    rng = np.random.default_rng(seed)
    good = [one.image_path for one in samples if not one.label]
    bad = [one.image_path for one in samples if one.label]
    bounds = np.cumsum([n_learned, N_CALIBRATE, N_LINE, N_ANEW, N_TEST])
    learned, calibrating, *others, _ = np.split(rng.permutation(len(good)), bounds)
    coming, anew, test = ([moved(good, i, line) for i in some] for some in others)
    chosen = rng.permutation(len(bad))[: 2 * N_DEFECTS]
    confirmed, defects = (
        [moved(bad, i, line) for i in some] for some in (chosen[::2], chosen[1::2])
    )
    model = PatchCore(progress=False).fit([rgb(good[i]) for i in learned])
    known = [rgb(good[i]) for i in calibrating]
    model.calibrate(known, false_positive_rate=RATE)

    def scores() -> list[np.ndarray]:
        groups = coming, anew, test, defects, confirmed
        found = model.score([image for group in groups for image in group])
        return np.split(found, np.cumsum([len(group) for group in groups])[:-1])

    before = scores()
    wrong = np.flatnonzero(before[0] > model.threshold_)
    if len(wrong):
        model.accept([coming[i] for i in wrong], by="benchmark")
    after = scores() if len(wrong) else before
    limits = [conformal_threshold(one[1], RATE) for one in (before, after)]
    n_before, n_after = len(model.memory_bank_), len(model.memory_bank_)
    if len(wrong):
        n_before -= model.accepted_[0].n_entries
    caught = before[4] > model.threshold_

    def measured(found, limit: float, n_entries: int) -> list[float]:
        labels = np.repeat([0, 1], [len(test), len(defects)])
        return [
            float(np.mean(found[0] > limit)),
            n_entries,
            float(np.mean(found[2] > limit)),
            float(np.mean(found[3] <= limit)),
            compute_auroc(labels, np.concatenate(found[2:4])),
            int((caught & (found[4] <= limit)).sum()),
        ]

    return {
        "before": measured(before, model.threshold_, n_before),
        "accepted": measured(after, model.threshold_, n_after),
        "accepted, threshold set anew": measured(after, limits[1], n_after),
        "threshold set anew alone": measured(before, limits[0], n_before),
    }


def moved(paths, index: int, line: str) -> np.ndarray:
    """Return an image as the line has it."""
    image = rgb(paths[index])
    if line == "as learned":
        return image
    settings = ShiftSettings().only(line).scaled("mild")
    return shift_of(ShiftDomainTransform(settings), int(index), image)


def text(values: np.ndarray, count: int) -> str:
    """Return the mean over the draws and the range; of one its 95 % interval."""
    form = ".0f" if values.max() > 1 else ".3f"
    low, high = values.min(), values.max()
    if len(values) == 1:
        if not count:
            return f"{low:{form}}"
        test = binomtest(round(count * low), count)
        low, high = test.proportion_ci(0.95, "exact")
    return f"{values.mean():{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
