"""How soon `DriftMonitor` sees a change, and how often it errs without one.

    python benchmarks/drift.py ROOT [--classes screw magnetic_tile] [--draws 200]

First scores drawn from a normal distribution, without any change: parts until a false
alarm, against what is promised; of all parts, and, as `adlib monitor` does, of those
below a threshold set for 5 % by 59 scores, of which those below it are the reference;
last with all 59 as reference, for which nothing is promised. Then PatchCore with its
defaults learns half of the good training images; the others, and the good test images,
are scored as they are and with each part of the study's shift, at three severities.
Each draw takes a reference of 50 scores and 200 more from those that are as they were,
then 1,000 of the shifted ones, all with replacement, so that they are exchangeable
until the shift: parts until the alarm, in the median and for nine draws of ten; of all
scores, and of those alone that are below the 95 % quantile of scores as they were,
where parts that are above count as parts. Nothing was chosen from these tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from adlib import PatchCore
from adlib.datasets import ShiftDomainTransform, ShiftSettings, read_samples
from adlib.images import read_image
from adlib.metrics import DriftMonitor, compute_auroc
from adlib.thresholds import conformal_threshold

REFERENCE, BEFORE, AFTER = 50, 200, 1_000
ARLS, RUNS, MOST = (100, 1_000), 200, 20  # parts promised; and of them, runs end
CALIBRATION, RATE = 59, 0.05  # scores that set a threshold; 1 in 20 is above
COMPARED = ("all parts", "parts that pass", "parts that pass with all scores")
PARTS = ("illumination", "colour", "blur", "noise", "rotation", "translation")
SEVERITIES = ("mild", "moderate", "severe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--most", type=int, help="good images; default: all")
    arguments = parser.parse_args()
    print("| compared | promised | parts until a false alarm, mean | median |")
    print("|---|---|---|---|")
    for compared in COMPARED:
        for promised in ARLS:
            seeds = range(RUNS)
            parts = [until_false_alarm(promised, seed, compared) for seed in seeds]
            error = 1.96 * np.std(parts) / np.sqrt(RUNS)
            cells = f"{np.mean(parts):.0f} (+-{error:.0f}) | {np.median(parts):.0f}"
            print(f"| {compared} | {promised} | {cells} |", flush=True)
    columns = ["class", "shift", "severity", "AUROC of the shift"]
    columns += ["parts until alarm, 90 %", "alarms", "said"]
    columns += ["of parts that pass, 90 %", "alarms"]
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in arguments.classes:
        rows(arguments.root, name, arguments)


def until_false_alarm(promised: int, seed: int, compared: str) -> int:
    """Return how many parts pass; at most MOST times what is promised."""
    rng = np.random.default_rng(seed)
    reference, limit = rng.normal(size=REFERENCE), np.inf
    if compared != COMPARED[0]:
        reference = rng.normal(size=CALIBRATION)
        limit = conformal_threshold(reference, RATE)
    if compared == COMPARED[1]:
        reference = reference[reference < limit]
    monitor = DriftMonitor(
        reference, parts_between_false_alarms=promised, random_state=seed
    )
    while monitor.alarmed_at is None and monitor.n_parts < MOST * promised:
        scores = rng.normal(size=100)
        monitor.update(scores[scores <= limit])
    at = monitor.alarmed_at
    return monitor.n_parts if at is None else at + 1


def rows(root: Path, name: str, arguments: argparse.Namespace) -> None:
    """Print a line for each shift of a class."""
    rng = np.random.default_rng(0)
    samples = read_samples(root, [name])
    train = [one.image_path for one in samples if one.split == "train"]
    good = [one.image_path for one in samples if one.split == "test" and not one.label]
    train = [train[i] for i in rng.permutation(len(train))[: arguments.most]]
    learned, others = train[::2], [*train[1::2], *good[: arguments.most]]
    model = PatchCore(progress=False).fit(learned)
    images = [rgb(path) for path in others]
    usual = model.score(images)
    for part in PARTS:
        for severity in SEVERITIES:
            settings = ShiftSettings(illumination_ratio=1.0).only(part).scaled(severity)
            transform = ShiftDomainTransform(settings)
            shifted = [shift_of(transform, i, image) for i, image in enumerate(images)]
            scores = model.score(shifted)
            labels = np.repeat([0, 1], len(usual))
            apart = compute_auroc(labels, np.concatenate([usual, scores]))
            found = [delay(usual, scores, seed) for seed in range(arguments.draws)]
            delays = np.array([one for one, _ in found], float)
            names = [said for _, said in found if said is not None]
            said = max(set(names), key=names.count) if names else ""
            quantiles = np.quantile(delays, [0.5, 0.9], method="higher")
            cells = [name, part, severity, f"{apart:.2f}"]
            cells += [f"{quantiles[0]:.0f}, {quantiles[1]:.0f}"]
            n_alarms = int(np.isfinite(delays).sum())
            cells += [f"{n_alarms} of {len(found)}", said]
            limit = float(np.quantile(usual, 1 - RATE))
            seeds = range(arguments.draws)
            passing = np.array([delay(usual, scores, s, limit)[0] for s in seeds])
            quantiles = np.quantile(passing, [0.5, 0.9], method="higher")
            n_alarms = int(np.isfinite(passing).sum())
            cells += [f"{quantiles[0]:.0f}, {quantiles[1]:.0f}"]
            cells += [f"{n_alarms} of {len(passing)}"]
            print(f"| {' | '.join(cells)} |", flush=True)


def delay(
    usual: np.ndarray, shifted: np.ndarray, seed: int, limit: float = np.inf
) -> tuple[float, str | None]:
    """Return how many shifted parts came until the alarm, and what it said.

    The monitor sees those alone that are not above ``limit``.
    """
    rng = np.random.default_rng(seed)
    known, before = rng.choice(usual, REFERENCE), rng.choice(usual, BEFORE)
    monitor = DriftMonitor(known[known <= limit], random_state=seed)
    monitor.update(before[before <= limit])
    if monitor.alarmed_at is not None:
        return 0.0, "false alarm"
    n_before = monitor.n_parts
    after = rng.choice(shifted, AFTER)
    passing = np.flatnonzero(after <= limit)
    monitor.update(after[passing])
    if monitor.alarmed_at is None:
        return np.inf, None
    return float(passing[monitor.alarmed_at - n_before] + 1), monitor.direction


def rgb(path: Path) -> np.ndarray:
    """Return an image's pixels, (h, w, 3) uint8."""
    pixels = read_image(path)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def shift_of(transform: ShiftDomainTransform, index: int, image: np.ndarray):
    """Return a shifted image, (h, w, 3) uint8."""
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
    moved, _ = transform.at(index)(tensor, torch.zeros(1, *image.shape[:2]))
    return (moved * 255).round().byte().numpy().transpose(1, 2, 0)


if __name__ == "__main__":
    main()
