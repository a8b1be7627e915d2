"""The false-positive rates that thresholds from good images alone give on real ones.

    python benchmarks/threshold_rates.py ROOT [--classes screw magnetic_tile]

Two ways to a threshold are compared, at the same nominal rates: split conformal, from
the 20 % of the good training images that each seed holds out, and leave-one-image-out,
from the other 80 % themselves. The rate is measured on the good test images, which no
threshold has seen. It is a share of few images: the Beta prediction says how far chance
alone moves the conformal one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from adlib import PaDiM, PatchCore
from adlib.datasets import create_clean_split, read_samples
from adlib.thresholds import conformal_rate_interval, conformal_threshold

RATES = (0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print("| class | method | nominal | conformal | expected | leave one out |")
    print("|---|---|---|---|---|---|")
    for name in arguments.classes:
        samples = read_samples(arguments.root, [name])
        for method in (PatchCore, PaDiM):
            found = [_rates(method, samples, seed) for seed in range(arguments.seeds)]
            _print(name, method.__name__, found)


def _rates(method: type, samples: list, seed: int) -> dict:
    """Return, for each nominal rate, what both thresholds give with one seed."""
    split = create_clean_split(samples, samples[0].class_name, random_state=seed)
    model = method(progress=False, random_state=seed)
    train = [sample.image_path for sample in split.train]
    model.fit(train)
    held_out, test = (
        model.score([s.image_path for s in part if not s.label]).astype(np.float64)
        for part in (split.val, split.test)
    )
    left_out = model.leave_one_out_scores(train).astype(np.float64)
    return {
        "n_held_out": len(held_out),
        "n_test": len(test),
        **{
            rate: [
                float(np.mean(test > conformal_threshold(scores, rate)))
                for scores in (held_out, left_out)
            ]
            for rate in RATES
        },
    }


def _print(name: str, method: str, found: list[dict]) -> None:
    n_held_out, n_test = found[0]["n_held_out"], found[0]["n_test"]
    for rate in RATES:
        conformal, left_out = (
            ", ".join(f"{100 * one[rate][place]:.1f}" for one in found)
            for place in (0, 1)
        )
        expected = conformal_rate_interval(n_held_out, rate)
        cells = [
            f"{name} ({n_test} good test images)",
            method,
            f"{100 * rate:g} %",
            f"{conformal} % ({n_held_out} held out)",
            f"{100 * expected.low:.1f} to {100 * expected.high:.1f} %",
            f"{left_out} %",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
