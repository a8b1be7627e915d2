"""PatchCore end to end: anomalib's model and adlib's, same weights, images, coreset.

Both are given decoded images of 320x320. anomalib's coreset would take more than an
hour, so it is timed for a few picks and scaled, and for scoring its model is given
adlib's memory bank. Each call gives image scores and anomaly maps.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _anomalib import normalised, patchcore_model
from _clock import alternate, compared
from _work import images, paths_in
from coresets import _anomalib, _scaled
from scipy.stats import spearmanr

import adlib
from adlib import PatchCore

SIDE, RATIO, BATCH, ROUNDS, FIT_ROUNDS = 320, 0.05, 32, 5, 5
RUNTIMES = [("torch", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]


def measure(data: Path) -> list[dict]:
    good = _tensor(paths_in(data / "screw" / "train" / "good", 320))
    tests = _tensor(paths_in(data / "screw" / "test"))
    model = _patchcore()
    seconds = alternate(FIT_ROUNDS, adlib=lambda: model.fit(good))
    seconds["anomalib"] = [_fit_anomalib(good)]
    results = compared("fit, 320 images of 320x320, 5 %", seconds)
    theirs = patchcore_model(model.memory_bank_.embeddings)
    asked = normalised(tests)
    neighbours = {"reweighted": 9, "max": 1}
    others = {name: _scores(theirs, asked, b) for name, b in neighbours.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        for runtime, precision in RUNTIMES:
            ours = adlib.load(path, runtime=runtime, precision=precision, device="cpu")
            agreement = _agreement(ours, others, tests)
            ours.set_params(aggregation="max")
            for n_images in (1, BATCH):
                part = slice(0, n_images)
                seconds = alternate(
                    ROUNDS,
                    adlib=lambda ours=ours, part=part: list(ours.inspect(tests[part])),
                    anomalib=lambda part=part: theirs(asked[part]),
                )
                task = f"predict, {n_images} at a time, {runtime} {precision}"
                results += compared(task, seconds, agreement=agreement)
    return results


def _tensor(paths: list[Path]) -> torch.Tensor:
    return torch.from_numpy(images(paths, SIDE))


def _scores(theirs, asked: torch.Tensor, n_neighbors: int) -> np.ndarray:
    """Return anomalib's image scores."""
    theirs.num_neighbors = n_neighbors
    parts = [theirs(asked[i : i + 8]).pred_score for i in range(0, len(asked), 8)]
    return torch.cat(parts).numpy()


def _agreement(ours: PatchCore, others: dict, tests: torch.Tensor) -> dict:
    """Return how both rank the test images, and how far their scores lie apart."""
    agreement = {}
    for aggregation, theirs in others.items():
        scores = ours.set_params(aggregation=aggregation).score(tests)
        agreement[f"Spearman, {aggregation}"] = float(spearmanr(scores, theirs)[0])
        error = float(np.max(np.abs(scores - theirs) / theirs))
        agreement[f"largest relative difference, {aggregation}"] = error
    return agreement


def _patchcore() -> PatchCore:
    return PatchCore(
        image_size=SIDE,
        coreset=RATIO,
        aggregation="max",
        batch_size=BATCH,
        device="cpu",
        progress=False,
    )


@torch.no_grad()
def _fit_anomalib(good: torch.Tensor) -> float:
    """Return the seconds of anomalib's fit: measured features, scaled coreset."""
    model = patchcore_model(np.empty((0, 1), np.float32))
    asked = normalised(good)
    model.train()
    model.feature_extractor.eval()
    started = time.perf_counter()
    for first in range(0, len(asked), BATCH):
        model(asked[first : first + BATCH])
    embeddings = torch.vstack(model.embedding_store)
    taken = time.perf_counter() - started
    return taken + _scaled(_anomalib, embeddings, int(len(embeddings) * RATIO))
