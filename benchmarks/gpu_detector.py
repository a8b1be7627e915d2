"""Both detectors on a GPU, beside the same on this machine's CPU.

    python benchmarks/gpu_detector.py ROOT screw

Learns ``train/good`` of a class in MVTec AD's layout on either device, and scores every
image of ``test``. A model learned on the CPU is also saved and loaded onto the GPU, so
that the same memory bank answers on both: what its scores differ by is rounding alone.
Everything is warmed up once; times are medians of rounds and include reading and
decoding the files, but for the last table, which takes one image apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from gpu_coreset import timed
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import adlib
from adlib.estimators import AnomalyDetector, stage_seconds
from adlib.features import Backbone

METHODS = {"PatchCore": adlib.PatchCore, "PaDiM": adlib.PaDiM}
DEVICES = ("cpu", "cuda")
SIDE, BATCH = 320, 64
SINGLE = 40  # images that are scored one a call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("class_name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", action="store_true", help="time that alone")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu_detector: torch sees no CUDA device, so there is nothing to time")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"CPU: {torch.get_num_threads()} threads of torch's")
    backbones(asked.rounds)
    if asked.backbone:
        return
    folder = asked.root / asked.class_name
    good = sorted((folder / "train" / "good").iterdir())
    tests = sorted(path for path in (folder / "test").rglob("*") if path.is_file())
    anomalous = np.array([path.parent.name != "good" for path in tests])
    for name in METHODS:
        compare(name, good, tests, anomalous, asked.rounds)


def compare(
    name: str, good: list[Path], tests: list[Path], anomalous: np.ndarray, rounds: int
) -> None:
    """Print how one method does on both devices."""
    print(f"{name}: {len(good)} images learned, {len(tests)} scored", flush=True)
    models, scores = {}, {}
    for device in DEVICES:
        model = METHODS[name](progress=False, device=device)
        model.fit(good[:32]).score(tests[:32])
        fit = repeated(lambda model=model: model.fit(good), rounds)
        taken = repeated(lambda model=model: model.score(tests), rounds)
        single = [timed(lambda p=p, m=model: m.score([p])) for p in tests[:SINGLE]]
        models[device], scores[device] = model, model.score(tests)
        print(
            f"  {device:4}: fit {fit:6.2f} s, score {1e3 * taken / len(tests):6.2f} ms "
            f"an image, {1e3 * median(single):6.2f} ms one a call, "
            f"AUROC {roc_auc_score(anomalous, scores[device]):.4f}",
            flush=True,
        )
    moved = carried(models["cpu"])
    off = np.abs(moved.score(tests) / scores["cpu"] - 1.0).max()
    part = tests[:8]
    maps = np.abs(moved.anomaly_maps(part) / models["cpu"].anomaly_maps(part) - 1.0)
    again = np.array_equal(moved.score(tests), moved.score(tests[::-1])[::-1])
    print(f"  one model on both: scores within {off:.1e}, maps within {maps.max():.1e}")
    print(f"  learned on each: Spearman {spearmanr(*scores.values()).statistic:.6f}")
    print(f"  other order of images, the same bits: {again}")
    for device, model in models.items():
        seconds = list(stage_seconds(model, tests[:SINGLE]))[5:]
        stages = {key: median(times[key] for times in seconds) for key in seconds[0]}
        print(
            f"  {device:4}: {sum(stages.values()) * 1e3:6.2f} ms one image:",
            ", ".join(f"{key} {1e3 * value:.2f}" for key, value in stages.items()),
            flush=True,
        )


def carried(model: AnomalyDetector) -> AnomalyDetector:
    """Return the model, written to a file and read onto the GPU."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.adlib")
        return adlib.load(Path(folder) / "model.adlib", device="cuda").set_params(
            progress=False
        )


def backbones(rounds: int) -> None:
    """Print what the default backbone alone takes, its images on the device."""
    for precision in ("float32", "bfloat16"):
        for device in DEVICES:
            backbone = Backbone(device=device, precision=precision)
            images = torch.rand(BATCH, 3, SIDE, SIDE, device=device)
            backbone(images)
            repeats = 20 if device == "cuda" else 1
            taken = repeated(
                lambda run=backbone, x=images, n=repeats: [run(x) for _ in range(n)],
                rounds,
            )
            one = images[:1].contiguous()
            backbone(one)
            single = repeated(
                lambda run=backbone, x=one, n=repeats: [run(x) for _ in range(n)],
                rounds,
            )
            print(
                f"{backbone.name} {precision} {device}: {BATCH} a call "
                f"{1e3 * taken / BATCH / repeats:.3f} ms an image, "
                f"one a call {1e3 * single / repeats:.2f} ms",
                flush=True,
            )


def repeated(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of some rounds."""
    return median(timed(work) for _ in range(rounds))


if __name__ == "__main__":
    main()
