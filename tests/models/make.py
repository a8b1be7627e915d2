"""Write the model files that later versions must still read.

    python tests/models/make.py VERSION

Run once a release, never to mend a test: a file that no longer loads is a promise
broken. The network is timm's smallest, with random weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from adlib import PaDiM, PatchCore, runtime

HERE = Path(__file__).parent
SHARED = {
    "backbone": "test_efficientnet",
    "weights": None,
    "stages": (0, 1),
    "image_size": 32,
    "progress": False,
}
MODELS = {
    "patchcore": PatchCore(**SHARED, coreset=8, aggregation="reweighted"),
    "patchcore-hnsw": PatchCore(**SHARED, coreset=8, search="faiss-hnsw"),
    "padim": PaDiM(**SHARED, n_channels=5),
    "padim-few-images": PaDiM(**SHARED, channels="pca", n_channels=12),
}
EXPORTED = {"patchcore": "original", "padim": None, "padim-few-images": (20, 24)}


def images(n_images: int, seed: int) -> np.ndarray:
    """Return smooth images, (n_images, 32, 32) float32, with any NumPy the same."""
    waves = np.arange(32) / 32 * 2 * np.pi
    shift = (np.arange(n_images) * 0.7 + seed)[:, None, None]
    plane = np.sin(waves[:, None] + shift) * np.cos(2 * waves + shift)
    return (0.5 + 0.4 * plane).astype(np.float32)


def bytes_of_images() -> np.ndarray:
    """Return images as an exported file takes them, (4, 32, 32) uint8."""
    return np.rint(images(4, 2) * 255).astype(np.uint8)


def of_exported(name: str, version: str) -> dict[str, object]:
    """Return what a file that was just written says of the images."""
    found = list(
        runtime.load(HERE / f"{name}-{version}.onnx").inspect(bytes_of_images())
    )
    return {
        "exported_scores": [one.score for one in found],
        "exported_verdicts": [one.verdict for one in found],
        "exported_pixels": [one.worst_pixel for one in found],
        "exported_map": found[0].map[15].tolist(),
    }


def main(version: str) -> None:
    scores = {}
    for name, model in MODELS.items():
        few = 3 if name == "padim-few-images" else 20
        model.fit(images(few, 0)).calibrate(images(9, 1), false_positive_rate=0.3)
        model.save(HERE / f"{name}-{version}.adlib")
        found = {"scores": model.score(images(4, 2)).tolist()}
        found["threshold"] = model.threshold_
        found["map"] = model.anomaly_maps(images(1, 2))[0, 15].tolist()
        if name in EXPORTED:
            model.export(HERE / f"{name}-{version}.onnx", map_size=EXPORTED[name])
            found |= of_exported(name, version)
        scores[name] = found
    (HERE / f"scores-{version}.json").write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
