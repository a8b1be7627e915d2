"""Which sizes of true defects are found on the large demo set, with which options.

    python benchmarks/plates.py [--data aligned turned] [--options 320 1024 ...]

PatchCore learns 24 plates of 2048x2048 pixels, with a threshold for 5 % false alarms by
leave-one-out, and judges 12 good ones and 30 with a defect of 6 to 60 pixels, whose
masks are exact. For each option: AUROC with the 95 % interval of DeLong, how many
defects of each size are found, the POD curve of those hits, AUPRO, processor time of an
image and the peak of memory of ``fit``. Builds the set first, in minutes; every row has
a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from peers.memory import above_idle

from adlib import PatchCore
from adlib.datasets import demo_root, read_mask, read_samples
from adlib.exceptions import InputWarning
from adlib.metrics import compute_auroc, compute_pro, delong_interval, fit_pod

N_SIZES = 6  # each of the five kinds of defects has
BANK = 10_000  # entries, where 5 % of the patches would be many more
# A frame about the plates that always lie the same way, in shares of the image.
FRAME = np.array([(0.12, 0.26), (0.88, 0.26), (0.88, 0.74), (0.12, 0.74)])
OPTIONS: dict[str, dict[str, Any]] = {
    "320": {},
    "640": {"image_size": 640, "coreset": BANK},
    "1024": {"image_size": 1024, "coreset": BANK},
    "2048": {"image_size": 2048, "coreset": BANK},
    "1024, region": {"image_size": 1024, "coreset": BANK, "region": FRAME},
    "1024, flips": {"image_size": 1024, "coreset": BANK, "augment": ("flips",)},
    "1024, max": {"image_size": 1024, "coreset": BANK, "aggregation": "max"},
    "1024, top 0.001": {"image_size": 1024, "coreset": BANK, "top_ratio": 0.001},
    "2048, top 0.001": {"image_size": 2048, "coreset": BANK, "top_ratio": 0.001},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", default=["aligned", "turned"])
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        answer, sys.stdout = sys.stdout, sys.stderr
        [name], [option] = arguments.data, arguments.options
        json.dump(measure(name, OPTIONS[option]), answer)
        return
    columns = [
        "plates",
        "option",
        "AUROC",
        "AUPRO",
        "false alarms",
        "found of 5, by size",
    ]
    columns += ["a50, a90 (px)", "fit, s", "an image, s", "peak of fit, MiB"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for name in arguments.data:
        for option in arguments.options:
            if "region" in option and name != "aligned":
                continue
            command = [sys.executable, __file__, "--one", "--data", name]
            command += ["--options", option]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            cells = [name, option, *json.loads(done.stdout)]
            print(f"| {' | '.join(cells)} |", flush=True)


def measure(name: str, options: dict[str, Any]) -> list[str]:
    """Return the cells of one row, behind its names."""
    root = demo_root(size=2048)
    samples = read_samples(root, [name])
    learned = [one.image_path for one in samples if one.split == "train"]
    tests = [one for one in samples if one.split == "test"]
    sizes = true_sizes(root, name)
    options = dict(options)
    if "region" in options:
        options["region"] = (options["region"] * 2048).tolist()
    warm = {**options, "coreset": 100}
    PatchCore(progress=False, **warm).fit(learned[:2]).score(learned[:1])
    model = PatchCore(progress=False, false_positive_rate=0.05, **options)
    seconds = [time.process_time()]
    peak = above_idle(lambda: model.fit(learned))
    seconds.append(time.process_time())
    results = list(model.inspect([one.image_path for one in tests]))
    seconds.append(time.process_time())
    labels = np.array([one.mask_path is not None for one in tests])
    scores = np.array([one.score for one in results])
    masks = [
        np.zeros((2048, 2048), bool)
        if one.mask_path is None
        else read_mask(one.mask_path)
        for one in tests
    ]
    aupro = compute_pro(masks, [one.full_map() for one in results])
    flawed = [
        str(one.image_path.relative_to(root / name)) for one in tests if one.mask_path
    ]
    wanted = np.array([sizes[one] for one in flawed])
    found = scores[labels] > model.threshold_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        curve = fit_pod(wanted, found)
    low, high = delong_interval(labels.astype(int), scores)[1:3]
    groups = np.array([int(Path(one).stem) % N_SIZES for one in flawed])
    by_size = [
        f"{wanted[groups == one].mean():.0f}: {found[groups == one].sum()}"
        for one in range(N_SIZES)
    ]
    fit, score = np.diff(seconds)
    auroc = compute_auroc(labels.astype(int), scores)
    return [
        f"{auroc:.3f} ({low:.3f} to {high:.3f})",
        f"{aupro:.3f}",
        f"{(scores[~labels] > model.threshold_).sum()} of {(~labels).sum()}",
        ", ".join(by_size),
        f"{curve.a50:.3g}, {curve.a90:.3g}",
        f"{fit:.0f}",
        f"{score / len(tests):.2f}",
        f"{peak:.0f}",
    ]


def true_sizes(root: Path, name: str) -> dict[str, float]:
    """Return the size in pixels of the defect of each image, by its path."""
    with (root / "defects.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == name]
    return {row["image"]: float(row["size_px"]) for row in rows}


if __name__ == "__main__":
    main()
