"""Pixel and region metrics of the maps of all screw test images, 160 of 320x320.

adlib gives pixel AUROC, average precision, best F1 and AUPRO together; anomalib AUPRO
alone, scikit-learn pixel AUROC alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from memory import above_idle

SIDE, ROUNDS, FPR_LIMIT = 320, 5, 0.3


def measure(data: Path) -> list[dict]:
    import torch
    from _clock import alternate, compared
    from anomalib.metrics.aupro import _AUPRO
    from sklearn.metrics import roc_auc_score

    masks, maps = _masks_and_maps(data)
    truth, scores = masks.ravel(), maps.ravel()
    tensors = torch.from_numpy(maps), torch.from_numpy(masks)
    found = {}

    def adlib() -> None:
        found["adlib"] = _all_four(masks, maps)

    def anomalib() -> None:
        metric = _AUPRO(fpr_limit=FPR_LIMIT)
        metric.update(*tensors)
        found["aupro"] = float(metric.compute())

    def sklearn() -> None:
        found["auroc"] = float(roc_auc_score(truth, scores))

    peers = {"anomalib": anomalib, "scikit-learn": sklearn}
    seconds = alternate(ROUNDS, adlib=adlib, **peers)
    ours = found["adlib"]
    agreement = {
        "pixel AUROC off scikit-learn's by": abs(ours["auroc"] - found["auroc"]),
        "AUPRO off anomalib's by": abs(ours["aupro"] - found["aupro"]),
    }
    task = "pixel AUROC, average precision, F1 and AUPRO together, {} alone there"
    results = [
        {**compared(task.format(what), seconds)[place], "agreement": agreement}
        for place, what in enumerate(("AUPRO", "AUROC"))
    ]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/maps.npz", masks=masks, maps=maps)
        command = [sys.executable, __file__, f"{folder}/maps.npz"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    peak = json.loads(done.stdout)
    share = peak / (maps.nbytes / 2**20)
    for result in results:
        result["agreement"]["adlib's peak beyond the maps, in maps"] = round(share, 3)
    return results


def _masks_and_maps(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return masks, (160, 320, 320) bool, and the maps of a PatchCore, float32."""
    from adlib import PatchCore
    from adlib.datasets import read_samples
    from adlib.study._predictions import mask_of

    samples = read_samples(data, ["screw"])
    learned = [sample.image_path for sample in samples if sample.split == "train"]
    tested = [sample for sample in samples if sample.split == "test"]
    model = PatchCore(image_size=SIDE, coreset=0.01, progress=False).fit(learned)
    maps = model.anomaly_maps([sample.image_path for sample in tested])
    return np.stack([mask_of(sample, (SIDE, SIDE)) for sample in tested]), maps


def _all_four(masks: np.ndarray, maps: np.ndarray) -> dict[str, float]:
    from adlib.metrics import PixelCurves

    curves = PixelCurves.of(masks, maps)
    return {
        "auroc": curves.auroc,
        "average precision": curves.average_precision,
        "best F1": curves.best_f1.f1,
        "aupro": curves.aupro(FPR_LIMIT),
    }


def main() -> None:
    """Print the peak above maps and masks that are there already, in MiB."""
    with np.load(sys.argv[1]) as stored:
        masks, maps = stored["masks"], stored["maps"]
    _all_four(masks[:60], maps[:60])  # both kinds; it loads the kernels
    json.dump(above_idle(lambda: _all_four(masks, maps)), sys.stdout)


if __name__ == "__main__":
    main()
