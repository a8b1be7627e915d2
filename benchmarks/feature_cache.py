"""What keeping feature maps on disk saves: scoring with none, a cold and a warm cache.

    python benchmarks/feature_cache.py ROOT [CLASS] [--images N]

Scores a class's test images with PatchCore, in turn and several times over; scores must
be equal bit for bit. Ratios are of the medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from adlib import PatchCore
from adlib.datasets import read_samples
from adlib.features import FeatureCache, use_feature_cache

N_TURNS = 5
BACKBONES = {"tf_efficientnet_lite0": "pretrained", "wide_resnet50_2": None}


def seconds(model: PatchCore, paths: list[Path]) -> tuple[float, np.ndarray]:
    """Return how long scoring takes, and the scores."""
    started = time.perf_counter()
    scores = model.score(paths)
    return time.perf_counter() - started, scores


def compare(backbone: str, train: list[Path], test: list[Path]) -> None:
    """Print one backbone's line."""
    options = {"backbone": backbone, "weights": BACKBONES[backbone]}
    model = PatchCore(**options, coreset=0.05, random_state=0, progress=False)
    model.fit(train)
    model.score(test[:4])  # kernels are made
    found: dict[str, list[float]] = {"none": [], "cold": [], "warm": []}
    size = 0
    for _ in range(N_TURNS):
        with tempfile.TemporaryDirectory() as folder:
            cache = FeatureCache(folder, 10**10)
            expected = None
            for kind, times in found.items():
                use_feature_cache(None if kind == "none" else cache)
                passed, scores = seconds(model, test)
                times.append(passed)
                assert expected is None or np.array_equal(scores, expected)
                expected = scores
            assert cache.hits == cache.misses == len(test)
            size = cache.n_bytes()
    use_feature_cache(None)
    median = {kind: float(np.median(each)) for kind, each in found.items()}
    each = {kind: 1000 * value / len(test) for kind, value in median.items()}
    print(
        f"{backbone}: {each['none']:.1f} ms an image without, {each['cold']:.1f} cold, "
        f"{each['warm']:.1f} warm; warm is {median['none'] / median['warm']:.2f} times "
        f"as fast, cold {median['none'] / median['cold']:.2f}; "
        f"{size / len(test) / 1e6:.2f} MB an image"
    )


def main() -> None:
    """Compare on each backbone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("class_name", nargs="?", default="screw")
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    samples = read_samples(given.root, [given.class_name])
    train = [s.image_path for s in samples if s.split == "train"][: given.images]
    test = [s.image_path for s in samples if s.split == "test"][: given.images]
    for backbone in BACKBONES:
        compare(backbone, train, test)


if __name__ == "__main__":
    main()
