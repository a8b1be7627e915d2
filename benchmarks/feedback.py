"""What accepting false alarms does to images that were used for nothing.

    python benchmarks/feedback.py ROOT [--classes screw magnetic_tile] [--draws 5]

Each draw splits the good images: PatchCore with its defaults learns ``--learned`` of
them, 40 calibrate it at 5 %, 100 come down a line, and 60 more set a threshold anew
where that is asked for. Those of the line that FAIL are confirmed good and accepted.
False-positive rate, missed defects and AUROC are of the good images that are left, at
most 100, and of half of the defects; of the other half, the confirmed ones, it is
counted how many pass that did not, since `adlib accept` would then write nothing. Once
all images are as they were learned; once those of the line, of the threshold and of
the test have more noise, as of another camera (the study's shift, mild). Means over the
draws, and the range. Nothing was chosen from this table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from drift import rgb, shift_of

from adlib import PatchCore
from adlib.datasets import ShiftDomainTransform, ShiftSettings, read_samples
from adlib.metrics import compute_auroc
from adlib.thresholds import conformal_threshold

N_CALIBRATE, N_LINE, N_ANEW, MOST = 40, 100, 60, 100
RATE = 0.05
COLUMNS = ["class", "line", "model", "false alarms on the line", "entries"]
COLUMNS += ["false-positive rate", "missed defects", "AUROC", "confirmed now passing"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--learned", type=int, default=20)
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in arguments.classes:
        samples = read_samples(arguments.root, [name])
        good = [rgb(one.image_path) for one in samples if not one.label]
        bad = [rgb(one.image_path) for one in samples if one.label]
        for line in ("as learned", "noise"):
            found = [
                draw(good, bad, line, arguments.learned, seed)
                for seed in range(arguments.draws)
            ]
            for model in found[0]:
                values = np.array([one[model] for one in found])
                cells = [name, line, model, *map(text, values.T)]
                print(f"| {' | '.join(cells)} |", flush=True)


def draw(good, bad, line: str, n_learned: int, seed: int) -> dict[str, list[float]]:
    """Return the columns of numbers for each model of one draw."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(good))
    bounds = np.cumsum([n_learned, N_CALIBRATE, N_LINE, N_ANEW, MOST])
    learned, calibrating, *others, _ = np.split(order, bounds)
    coming, anew, test = ([moved(good, i, line) for i in some] for some in others)
    defects = [moved(bad, i, line) for i in rng.permutation(len(bad))[: 2 * MOST]]
    confirmed, defects = defects[::2], defects[1::2]
    model = PatchCore(progress=False).fit([good[i] for i in learned])
    model.calibrate([good[i] for i in calibrating], false_positive_rate=RATE)

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


def moved(images, index: int, line: str) -> np.ndarray:
    """Return an image as the line has it."""
    if line == "as learned":
        return images[index]
    settings = ShiftSettings().only(line).scaled("mild")
    return shift_of(ShiftDomainTransform(settings), int(index), images[index])


def text(values: np.ndarray) -> str:
    """Return the mean over the draws and the range."""
    form = ".0f" if values.max() > 1 else ".3f"
    return f"{values.mean():{form}} ({values.min():{form}} to {values.max():{form}})"


if __name__ == "__main__":
    main()
