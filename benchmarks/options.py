"""What each option of the detectors changes: accuracy, time and memory, on real images.

    python benchmarks/options.py ROOT [--data screw magnetic_tile elpv-mono]
    python benchmarks/options.py ROOT --data magnetic_tile --drawn

Each row learns ``train/good`` with PatchCore's defaults and one option changed, and
scores all of ``test``; the memory bank is as large at 448 and 640 pixels. Image AUROC
has the 95 % interval of DeLong, and its difference to the defaults DeLong's paired
test. AUPRO and its difference have intervals of 1,000 resamples of the good and of the
defective images, the same for both. Times are of the processor, all threads together;
the peak of memory is that of ``fit``. Every row has a process of its own.

With ``--drawn`` no test image is read: a quarter of the training images, at most 120,
is held out, and scored as it is and with a synthetic defect on each. That is the table
to choose options by; the other one is the test of the choice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers.memory import above_idle
from PIL import Image
from scipy import ndimage

from adlib import PaDiM, PatchCore
from adlib.datasets import (
    ANOMALOUS,
    draw_defect,
    elpv_samples,
    read_mask,
    read_samples,
)
from adlib.datasets._elpv import split_cells
from adlib.metrics import PixelCurves, compute_auroc, delong_interval, delong_test

OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "image_size=224": {"image_size": 224},
    "image_size=448": {"image_size": 448, "coreset": 0.0255},
    "image_size=640": {"image_size": 640, "coreset": 0.0125},
    "letterbox": {"resize": "letterbox"},
    "flips": {"augment": ("flips",)},
    "flips, turns": {"augment": ("flips", "quarter_turns")},
    "rotations": {"augment": ("rotations",)},
    "light": {"augment": ("light",)},
    "contamination=0.02": {"contamination": 0.02},
    "coreset=0.01": {"coreset": 0.01},
    "coreset=0.25": {"coreset": 0.25},
    "top_ratio=0.003": {"top_ratio": 0.003},
    "top_ratio=0.03": {"top_ratio": 0.03},
    "max": {"aggregation": "max"},
    "reweighted": {"aggregation": "reweighted"},
    "embedding=paper": {"embedding": "paper"},
    "embedding=nearest": {"embedding": "nearest"},
    "stages to stride 32": {"stages": (2, 3, 4)},
    "Lite1": {"backbone": "tf_efficientnet_lite1"},
    "Lite2": {"backbone": "tf_efficientnet_lite2"},
    "PaDiM": {"method": "PaDiM"},
}
N_LEVELS, N_RESAMPLES, LIMIT = 1000, 1000, 0.3


class Data(NamedTuple):
    """What is learned, and what is scored; masks are None where there are none."""

    learned: list[Any]
    tests: list[Any]
    anomalous: np.ndarray
    masks: list[np.ndarray] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    known = ["screw", "magnetic_tile", "elpv-mono"]
    parser.add_argument("--data", nargs="+", default=known)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--set", type=json.loads, help="one more row, as JSON")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--learn", type=int, help="training images; default: all")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments)
        return
    columns = ["data", "option", "image AUROC", "difference, p", "AUPRO"]
    columns += ["difference", "fit, s", "an image, ms", "peak of fit, MiB"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for name in arguments.data:
        first = None
        for option in [*arguments.options, *(["set"] if arguments.set else [])]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "found.npz"
                command = [sys.executable, __file__, arguments.root, "--one", path]
                command += ["--data", name]
                command += ["--set", json.dumps(arguments.set)] * (option == "set")
                command += ["--options", option] * (option != "set")
                command += ["--drawn"] * arguments.drawn
                if arguments.learn is not None:
                    command += ["--learn", str(arguments.learn)]
                done = subprocess.run(command, stdout=sys.stderr, check=False)
                if done.returncode:
                    print(f"| {name} | {option} | failed |", flush=True)
                    continue
                with np.load(path) as file:
                    found = dict(file)
            first = found if first is None else first
            cells = [name, option, *shown(found, first)]
            print(f"| {' | '.join(cells)} |", flush=True)


def read_data(root: Path, name: str, drawn: bool) -> Data:
    """Return the images of a class, or held-out training images and flawed copies."""
    if name.startswith("elpv"):
        kind = name.partition("-")[2]
        training, held_out = split_cells(elpv_samples(kind), 42)
        masks = None
    else:
        samples = read_samples(root, [name])
        training = [sample for sample in samples if sample.split == "train"]
        held_out = [sample for sample in samples if sample.split == "test"]
        masks = [
            np.zeros(Image.open(sample.image_path).size[::-1], bool)
            if sample.mask_path is None
            else read_mask(sample.mask_path)
            for sample in ([] if drawn else held_out)
        ]
    learned = [sample.image_path for sample in training]
    if not drawn:
        anomalous = np.array([sample.label == ANOMALOUS for sample in held_out])
        return Data(learned, [s.image_path for s in held_out], anomalous, masks)
    order = np.random.default_rng(0).permutation(len(learned))
    n_held_out = min(len(learned) // 4, 120)
    good = [np.asarray(Image.open(learned[i])) for i in order[:n_held_out]]
    flawed = list(flawed_copies(good))
    masks = [np.zeros(image.shape[:2], bool) for image in good]
    return Data(
        [learned[i] for i in np.sort(order[n_held_out:])],
        [*good, *(one.image for one in flawed)],
        np.repeat([False, True], n_held_out),
        [*masks, *(one.mask for one in flawed)],
    )


def flawed_copies(images: list[np.ndarray]) -> Iterator[Any]:
    """Yield each image with a defect: kinds, contrasts and sizes by turns."""
    rng = np.random.default_rng(1)
    for number, image in enumerate(images):
        kind = ("scratch", "spot", "stain", "texture")[number % 4]
        contrast = (0.1, 0.2, 0.4)[number // 4 % 3]
        side = min(image.shape[:2])
        size = side * np.exp(rng.uniform(np.log(0.02), np.log(0.25)))
        yield draw_defect(image, kind, max(size, 2.0), contrast, random_state=number)


def measure(arguments: argparse.Namespace) -> None:
    """Write what one option finds, and what it takes."""
    [name] = arguments.data
    data = read_data(arguments.root, name, arguments.drawn)
    order = np.random.default_rng(2).permutation(len(data.learned))
    learned = [data.learned[i] for i in np.sort(order[: arguments.learn])]
    chosen = arguments.set or OPTIONS[arguments.options[0]]
    chosen = {
        key: tuple(value) if key in ("augment", "stages") else value
        for key, value in chosen.items()
    }
    kind = {"PaDiM": PaDiM, "PatchCore": PatchCore}[chosen.pop("method", "PatchCore")]
    few = {**chosen, "coreset": 50} if kind is PatchCore else chosen
    kind(progress=False, **few).fit(data.learned[:8]).score(data.tests[:1])  # compile
    model = kind(progress=False, **chosen)
    seconds = [time.process_time()]
    peak = above_idle(lambda: model.fit(learned))
    seconds.append(time.process_time())
    scores = model.score(data.tests)
    seconds.append(time.process_time())
    found: dict[str, Any] = {"anomalous": data.anomalous, "scores": scores}
    fit, score = np.diff(seconds)
    found |= {"costs": [fit, 1000 * score / len(scores), peak]}
    if data.masks is not None:
        maps = [one.full_map() for one in model.inspect(data.tests)]
        found |= pixel_counts(data.masks, maps)
        found["aupro"] = PixelCurves.of(data.masks, maps).aupro(LIMIT)
    np.savez(arguments.one, **found)


def pixel_counts(
    masks: list[np.ndarray], maps: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return for each image what lies above each level: normal pixels, overlaps.

    Both are (n_images, 1 + N_LEVELS); the last column is the number of all normal
    pixels, and of regions. Levels fall, and have the false-positive rates 0 to LIMIT.
    """
    normal = np.concatenate([one[~mask] for mask, one in zip(masks, maps, strict=True)])
    n_top = int(1.05 * LIMIT * len(normal))
    top = np.sort(np.partition(normal, len(normal) - n_top)[-n_top:])
    levels = top[np.linspace(n_top - 1, 0, N_LEVELS).astype(int)]
    rows = []
    for mask, one in zip(masks, maps, strict=True):
        regions, n_regions = ndimage.label(mask, np.ones((3, 3)))
        above = [shares_above(one[~mask], levels) * (~mask).sum()]
        overlaps = np.zeros(N_LEVELS)
        for number in range(1, n_regions + 1):
            overlaps += shares_above(one[regions == number], levels)
        rows.append((np.append(above, (~mask).sum()), np.append(overlaps, n_regions)))
    counts, overlaps = map(np.array, zip(*rows, strict=True))
    return {"normal": counts, "overlaps": overlaps}


def shares_above(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of values at or above each level."""
    below = np.searchsorted(np.sort(values), levels, side="left")
    return 1.0 - below / max(len(values), 1)


def areas(found: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the AUPRO of each resample from how often it holds each image."""
    rates, overlaps = (weights @ found[key] for key in ("normal", "overlaps"))
    rates, overlaps = (one[:, :-1] / one[:, -1:] for one in (rates, overlaps))
    values = []
    for x, y in zip(rates, overlaps, strict=True):
        n_inside = np.searchsorted(x, LIMIT, side="right")
        xs = np.concatenate([[0.0], x[:n_inside], [LIMIT]])
        ys = np.concatenate([[0.0], y[:n_inside], [np.interp(LIMIT, x, y)]])
        values.append(np.trapezoid(ys, xs) / LIMIT)
    return np.array(values)


def shown(found: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> list[str]:
    """Return the cells of a row; ``first`` is that of the defaults."""
    y, scores = found["anomalous"].astype(int), found["scores"]
    low, high = delong_interval(y, scores)[1:3]
    cells = [f"{compute_auroc(y, scores):.4f} ({low:.4f} to {high:.4f})", ""]
    if found is not first:
        test = delong_test(y, scores, first["scores"])
        bounds = f"{test.difference:+.4f} ({test.low:+.4f} to {test.high:+.4f})"
        cells[-1] = f"{bounds}, p = {test.p_value:.2g}"
    if "aupro" in found:
        rng = np.random.default_rng(0)
        weights = np.zeros((N_RESAMPLES, len(y)))
        for label in (0, 1):
            own = np.flatnonzero(y == label)
            weights[:, own] = rng.multinomial(
                len(own), np.full(len(own), 1 / len(own)), N_RESAMPLES
            )
        here, there = (areas(one, weights) for one in (found, first))
        low, high = np.quantile(here, [0.025, 0.975])
        cells += [f"{found['aupro']:.4f} ({low:.4f} to {high:.4f})", ""]
        if found is not first:
            low, high = np.quantile(here - there, [0.025, 0.975])
            change = found["aupro"] - first["aupro"]
            cells[-1] = f"{change:+.4f} ({low:+.4f} to {high:+.4f})"
    else:
        cells += ["", ""]
    fit, score, peak = found["costs"]
    return [*cells, f"{fit:.1f}", f"{score:.0f}", f"{peak:.0f}"]


if __name__ == "__main__":
    main()
