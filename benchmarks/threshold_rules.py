"""What thresholds from few training images, some of them odd, do on real ones.

    python benchmarks/threshold_rules.py ROOT [--classes screw magnetic_tile]
    python benchmarks/threshold_rules.py --choice

PatchCore is fitted to draws of n training images, of which some are odd: images of
defects that nobody noticed, or negatives of good ones. Its leave-one-out scores set the
threshold by the quantile and by the log-normal law, and the test images show how many
good ones are rejected and how many defects are caught. Defects that are put among the
training images are left out of the test. Intervals are 95 % of the mean over the draws.

``--choice`` is how the law was chosen: on solar cells (the package elpv-dataset), which
the first table does not use, thresholds of draws of n scores are compared with the
other scores.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageOps
from scipy import stats

from adlib import PaDiM, PatchCore
from adlib.datasets import elpv_samples, read_samples
from adlib.exceptions import InputWarning
from adlib.features import FeatureCache, use_feature_cache
from adlib.thresholds import conformal_threshold, log_normal_threshold, lowest_rate

RATES = (0.05, 0.01)
LOWER = 0.01  # a rate that no quantile of so few images gives
MOST_TESTED = 150  # good test images, and as many defects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--classes", nargs="+", default=["screw", "magnetic_tile"])
    parser.add_argument("--images", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--odd", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--kind", choices=["defect", "negative"], default="defect")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--choice", action="store_true")
    arguments = parser.parse_args()
    if arguments.choice:
        _choice()
        return
    print("| class | images | odd | false alarms % | | | caught % | | | warned |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in arguments.classes:
        with TemporaryDirectory() as folder:
            use_feature_cache(FeatureCache(folder, 4 * 10**9))
            samples = read_samples(arguments.root, [name])
            for n_images in arguments.images:
                for n_odd in arguments.odd:
                    found = [
                        _draw(samples, n_images, n_odd, seed, arguments)
                        for seed in range(arguments.draws)
                    ]
                    _print(name, n_images, n_odd, np.array(found))
            use_feature_cache(None)


def _draw(
    samples: list, n_images: int, n_odd: int, seed: int, arguments: argparse.Namespace
) -> list[float]:
    """Return the rates of false alarms and of caught defects, and if fit warned."""
    rng = np.random.default_rng(seed)
    train = [s.image_path for s in samples if s.split == "train"]
    good = [s.image_path for s in samples if s.split == "test" and not s.label]
    defects = [s.image_path for s in samples if s.label]
    # The same test images for each draw, so that draws differ by what is learned.
    chosen = np.random.default_rng(0)
    good, defects = (list(chosen.permutation(part)) for part in (good, defects))
    slipped_in, defects = defects[: len(defects) // 4], defects[len(defects) // 4 :]
    learned = list(rng.choice(train, n_images, replace=False))
    odd = list(rng.choice(slipped_in, n_odd, replace=False))
    if arguments.kind == "negative":
        odd = [_negative(path) for path in learned[:n_odd]]
    learned[:n_odd] = odd
    rate = max(RATES[0], lowest_rate(n_images))
    model = PatchCore(
        image_size=arguments.image_size, false_positive_rate=rate, progress=False
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        model.fit(learned)
    left_out = model.left_out_scores_
    thresholds = [
        model.threshold_,
        log_normal_threshold(left_out, rate),
        log_normal_threshold(left_out, LOWER),
    ]
    rates = [
        float(np.mean(scores > threshold))
        for scores in (
            model.score(good[:MOST_TESTED]),
            model.score(defects[:MOST_TESTED]),
        )
        for threshold in thresholds
    ]
    return [*rates, float(any("unlike" in str(one.message) for one in caught))]


def _negative(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.invert(image.convert("L"))


def _print(name: str, n_images: int, n_odd: int, found: np.ndarray) -> None:
    means = 100 * found.mean(axis=0)
    widths = 100 * found.std(axis=0, ddof=1) / np.sqrt(len(found))
    widths *= stats.t.ppf(0.975, len(found) - 1)
    cells = [f"{m:.1f} +- {w:.1f}" for m, w in zip(means, widths, strict=True)]
    cells[-1] = f"{means[-1]:.0f} %"
    print(f"| {name} | {n_images} | {n_odd} | {' | '.join(cells)} |", flush=True)


def _by_mean(scores: np.ndarray, rate: float) -> float:
    """Return the prediction limit of a normal law of log scores."""
    logs, n_scores = np.log(scores), len(scores)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / n_scores)
    return float(np.exp(logs.mean() + stats.t.isf(rate, n_scores - 1) * spread))


def _by_median(scores: np.ndarray, rate: float) -> float:
    """Return what a normal law gives by median and median absolute deviation."""
    logs = np.log(scores)
    spread = stats.median_abs_deviation(logs, scale="normal")
    return float(np.exp(np.median(logs) + stats.norm.isf(rate) * spread))


def _by_quantile(scores: np.ndarray, rate: float) -> float:
    return conformal_threshold(scores, max(rate, lowest_rate(len(scores))))


def _choice(n_draws: int = 400) -> None:
    """Print the share of other good cells above thresholds of draws of n."""
    rules = {
        "quantile, or its lowest rate": _by_quantile,
        "mean and deviation of logs": _by_mean,
        "median and MAD of logs": _by_median,
        "log_normal_threshold": log_normal_threshold,
    }
    print(f"| cells | method | images | rate | {' | '.join(rules)} |")
    print(f"|---|---|---|---|{'---|' * len(rules)}")
    for kind in ("mono", "poly"):
        good = [s.image_path for s in elpv_samples(kind) if not s.label]
        good = np.random.default_rng(1).permutation(good).tolist()
        for method in (PatchCore, PaDiM):
            model = method(image_size=224, progress=False).fit(good[:80])
            scores = model.score(good[80:580]).astype(np.float64)
            for n_images in (8, 16, 32, 64):
                for rate in RATES:
                    found = _shares(scores, n_images, rate, rules, n_draws)
                    cells = " | ".join(f"{100 * share:.1f} %" for share in found)
                    row = f"{kind} | {method.__name__} | {n_images} | {100 * rate:g} %"
                    print(f"| {row} | {cells} |", flush=True)


def _shares(
    scores: np.ndarray, n_images: int, rate: float, rules: dict, n_draws: int
) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(n_draws):
        drawn = rng.permutation(scores)
        few, others = drawn[:n_images], drawn[n_images:]
        found.append([np.mean(others > rule(few, rate)) for rule in rules.values()])
    return np.mean(found, axis=0)


if __name__ == "__main__":
    main()
