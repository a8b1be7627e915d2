"""Choose PaDiM's defaults on data that is not reported.

    python benchmarks/padim_choice.py ROOT

Learns part of ``train/good`` of two MVTec-layout classes under ROOT, ``screw`` and
``magnetic_tile``, and tells other good training images from copies of them with
synthetic defects (a scratch, a spot, a misplaced patch, a blurred patch); and learns
functional polycrystalline solar cells (package elpv-dataset) and tells others from
defective ones. No image of a ``test`` folder is read. Prints image AUROC for each
setting; about 25 minutes on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from adlib import PaDiM
from adlib.datasets import ANOMALOUS, elpv_samples
from adlib.images import open_source, read_batches

LARGEST = 320  # side of the images that defects are drawn into
COUNTS = {"screw": (256, 64), "magnetic_tile": (300, 80)}  # to learn, to tell apart
CELLS = (400, 200, 250)  # functional to learn, functional and defective to tell apart
PAPER = {"stages": (1, 2, 3), "embedding": "nearest", "n_channels": 100}
SETTINGS = {
    "paper's, 100 channels": PAPER | {"regularization": 0.01, "aggregation": "map_max"},
    "strides 8, 16; nearest; 100": {"embedding": "nearest", "n_channels": 100},
    "strides 8, 16; nearest; all": {"embedding": "nearest"},
    "strides 8, 16; nearest; 100 main directions": {
        "embedding": "nearest",
        "channels": "pca",
        "n_channels": 100,
    },
    "strides 8, 16, 32; nearest; 200": {
        "stages": (2, 3, 4),
        "embedding": "nearest",
        "n_channels": 200,
    },
    "stride 16; nearest; all": {"stages": (3,), "embedding": "nearest"},
    "strides 4, 8, 16; 3x3 means; all": {"stages": (1, 2, 3), "n_channels": 176},
    "strides 8, 16; 3x3 means; 50": {"n_channels": 50},
    "strides 8, 16; 3x3 means; 100": {"n_channels": 100},
    "strides 8, 16; 3x3 means; 100 main directions": {
        "channels": "pca",
        "n_channels": 100,
    },
    "defaults: strides 8, 16; 3x3 means; all; 0.1; max": {},
    "defaults, regularization 0.001": {"regularization": 0.001},
    "defaults, regularization 0.01": {"regularization": 0.01},
    "defaults, regularization 1": {"regularization": 1.0},
    "defaults, highest value of the map": {"aggregation": "map_max"},
    "defaults, mean of the top 1 %": {"aggregation": "top_mean"},
    "defaults at 224x224": {"image_size": 224},
}


def main() -> None:
    root = Path(sys.argv[1])
    sets = {name: _with_defects(root, name, *n) for name, n in COUNTS.items()}
    sets["solar cells, poly"] = _cells()
    print(f"| setting | {' | '.join(sets)} | mean |")
    print("|---|---|---|---|---|", flush=True)
    for name, settings in SETTINGS.items():
        areas = []
        for learned, good, bad in sets.values():
            model = PaDiM(**settings, progress=False).fit(learned)
            scores = np.concatenate([model.score(good), model.score(bad)])
            labels = np.repeat([0, 1], [len(good), len(bad)])
            areas.append(roc_auc_score(labels, scores))
        cells = " | ".join(f"{area:.3f}" for area in [*areas, np.mean(areas)])
        print(f"| {name} | {cells} |", flush=True)


def _with_defects(root: Path, name: str, n_learned: int, n_held_out: int) -> tuple:
    """Return images to learn, good ones, and two damaged copies of each of these."""
    paths = sorted((root / name / "train" / "good").iterdir())
    drawn = np.random.default_rng(1).permutation(len(paths))
    chosen = [paths[i] for i in drawn[: n_learned + n_held_out]]
    size = {"image_size": (LARGEST, LARGEST), "batch_size": 16}
    batches = read_batches(open_source(chosen, "choice"), **size)
    images = np.concatenate([batch.images for batch in batches]).transpose(0, 2, 3, 1)
    good = images[n_learned:]
    rng = np.random.default_rng(5)
    bad = [damaged(image, rng) for image in np.concatenate([good, good])]
    return images[:n_learned], good, np.stack(bad)


def _cells() -> tuple:
    functional, defective = [], []
    for cell in elpv_samples("poly"):
        (defective if cell.label == ANOMALOUS else functional).append(cell.image_path)
    rng = np.random.default_rng(3)
    functional = [functional[i] for i in rng.permutation(len(functional))]
    defective = [defective[i] for i in rng.permutation(len(defective))]
    n_learned, n_good, n_bad = CELLS
    held_out = functional[n_learned : n_learned + n_good]
    return functional[:n_learned], held_out, defective[:n_bad]


def damaged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image (height, width, 3) with one defect, where the image varies."""
    height, width, _ = image.shape
    grey = image.mean(axis=2)
    varies = gaussian_filter(np.abs(grey - gaussian_filter(grey, 4)), 6).ravel()
    place = rng.choice(height * width, p=varies / varies.sum())
    down, right = np.mgrid[:height, :width]
    down, right = down - place // width, right - place % width
    angle = rng.uniform(0, np.pi)
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    kind = rng.integers(4)
    if kind == 0:  # a scratch
        across = across + 3 * np.sin(along / 7)
        inside = np.abs(across) < rng.uniform(1, 2.2)
        inside &= np.abs(along) < rng.uniform(8, 25)
    elif kind == 1:  # a spot
        along, across = along / rng.uniform(4, 11), across / rng.uniform(3, 8)
        inside = along**2 + across**2 < 1
    else:
        inside = np.abs(along) < rng.uniform(5, 14)
        inside &= np.abs(across) < rng.uniform(3, 8)
    mask = gaussian_filter(inside.astype(np.float32), 0.8)[:, :, None]
    if kind < 2:
        step = rng.uniform(0.12, 0.35) * rng.choice([-1, 1])
        changed = image + np.float32(step)
    elif kind == 2:  # a patch from elsewhere
        shift = rng.integers(-height // 4, height // 4 + 1, 2)
        changed = np.roll(image, tuple(shift), (0, 1))
    else:
        changed = gaussian_filter(image, (4, 4, 0))
    mixed = image * (1 - mask) + changed * mask
    return mixed.clip(0, 1).astype(np.float32)


if __name__ == "__main__":
    main()
