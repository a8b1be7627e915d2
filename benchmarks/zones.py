"""What pixel thresholds of zones find, beside one for all, at the same promised rate.

    python benchmarks/zones.py ROOT [--classes screw magnetic_tile plates welded]
        [--most 140]

PatchCore with its defaults learns from some of the good training images, and others
set the pixel threshold for a rate of 5 %; which of the others, and of the good test
images, set it is drawn 100 times. Printed are means over these draws, for each grid of
zones: the share of good images left over with anything marked, the share of defective
test images with a pixel of the defect marked, and the range of the zones' scales.

"plates" are aligned plates of the demo set at 1,024 pixels, by an image size of 512;
"welded" are the same with a rough band across, drawn anew for each, and defects
beside it. Each class takes one to four minutes of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from adlib import PatchCore
from adlib.datasets import read_mask, read_samples
from adlib.datasets._demo_parts import flawed_plate, plate, plate_generator
from adlib.datasets._demo_set import KINDS
from adlib.estimators._patches import open_normal
from adlib.estimators._zones import Zones, zone_numbers, zone_peaks, zone_scales
from adlib.images._pixels import resize
from adlib.thresholds import conformal_threshold

RATE, N_DRAWS = 0.05, 100
GRIDS = ((1, 1), (2, 2), (3, 3), (4, 4), (8, 8), (8, 1))
DRAWN = ("plates", "welded")
WELD = slice(608, 688)  # rows of it, between the middle and the lower holes


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    classes = ["screw", "magnetic_tile", *DRAWN]
    parser.add_argument("--classes", nargs="+", default=classes)
    parser.add_argument("--most", type=int, default=140, help="images of each kind")
    given = parser.parse_args()
    print("| class | zones | scales | good images marked | defects marked |")
    print("|---|---|---|---|---|")
    for name in given.classes:
        parts = _drawn(name) if name in DRAWN else _read(given.root, name, given.most)
        for row in rows(name, *parts):
            print(f"| {' | '.join(row)} |", flush=True)


def rows(name: str, train: list, good: list, bad: list, masks: list):
    """Yield the cells of each grid, by the functions that the estimator calls."""
    side = 512 if name in DRAWN else 320
    model = PatchCore(image_size=side, progress=False).fit(train)
    left_out: list = []

    def note(scored, patches):
        left_out.extend(model._maps(scored, patches))
        return [0.0] * len(patches.names)

    settings = model._ready()
    source = open_normal(train, None, "zones.py", settings.pixel_format)
    model._leave_one_out(source, settings, "zones.py", note)
    maps, flawed = model.anomaly_maps(good), model.anomaly_maps(bad)
    # All that a pixel of the mask touches, or the smallest would be lost.
    shown = [
        resize(mask.astype(np.uint8) * np.uint8(255), (side, side)) for mask in masks
    ]
    n_normal = len(good) // 2
    for grid in GRIDS:
        numbers = zone_numbers((side, side), grid)
        scales = zone_scales(np.stack([zone_peaks(m, numbers, grid) for m in left_out]))
        zones = Zones(numbers, scales)
        peaks = np.array([zones.relative(one).max() for one in maps], np.float64)
        hits = np.array(
            [
                zones.relative(one)[where > 0].max()
                for one, where in zip(flawed, shown, strict=True)
            ]
        )
        rng, marked, found = np.random.default_rng(0), [], []
        for _ in range(N_DRAWS):
            order = rng.permutation(len(peaks))
            threshold = conformal_threshold(peaks[order[:n_normal]], RATE)
            marked.append((peaks[order[n_normal:]] > threshold).mean())
            found.append((hits > threshold).mean())
        yield (
            f"{name} ({len(train)} to learn, {n_normal} to calibrate, {len(bad)} bad)",
            "{}x{}".format(*grid),
            f"{scales.min():.2f} to {scales.max():.2f}",
            f"{100 * np.mean(marked):.1f} %",
            f"{100 * np.mean(found):.1f} %",
        )


def _read(root: Path, name: str, most: int) -> tuple[list, list, list, list]:
    """Return paths to learn from, good ones, defective ones, and their masks."""
    samples = read_samples(root, [name])
    rng = np.random.default_rng(0)
    training = [one.image_path for one in samples if one.split == "train"]
    rng.shuffle(training)
    test = [one for one in samples if one.split == "test"]
    good = [one.image_path for one in test if not one.label]
    bad = [one for one in test if one.label]
    rng.shuffle(bad)
    bad = bad[:most]
    masks = [read_mask(one.mask_path) for one in bad]
    good += training[most : 2 * most]
    return training[:most], good, [one.image_path for one in bad], masks


def _drawn(name: str) -> tuple[list, list, list, list]:
    """Return the same of drawn plates, with a weld or without."""
    made = {
        part: [
            plate(1024, "aligned", plate_generator("aligned", part, i)).image
            for i in range(count)
        ]
        for part, count in (("train", 40), ("test", 120))
    }
    flawed = [
        flawed_plate(1024, "aligned", kind, i) for kind in KINDS for i in range(6)
    ]
    bad, masks = [one.image for one in flawed], [one.mask for one in flawed]
    if name == "welded":
        rng = np.random.default_rng(0)
        for images in (made["train"], made["test"], bad):
            images[:] = [_welded(one, rng) for one in images]
        for mask in masks:
            mask[WELD] = False  # hidden by the weld
        kept = [i for i, mask in enumerate(masks) if mask.any()]
        bad, masks = [bad[i] for i in kept], [masks[i] for i in kept]
    return made["train"], made["test"], bad, masks


def _welded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a plate with a band of blotches across."""
    blotches = ndimage.gaussian_filter(rng.standard_normal((80, 1024)), 5.0)
    band = 110 + 40 * blotches / blotches.std()
    welded = image.copy()
    welded[WELD] = np.clip(band, 0, 255).astype(np.uint8)
    return welded


if __name__ == "__main__":
    main()
