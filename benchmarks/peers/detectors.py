"""PatchCore end to end: anomalib's model and adlib's, same weights, images, coreset.

Both are given decoded images of 320x320. anomalib's coreset would take more than an
hour, so it is timed for a few picks and scaled, and for scoring its model is given
adlib's memory bank. Each call gives image scores and anomaly maps.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from _anomalib import normalised, patchcore_model
from _clock import alternate, compared
from _work import images, paths_in
from coresets import _anomalib, _scaled
from scipy.stats import spearmanr

from adlib import PatchCore

SIDE, RATIO, BATCH, ROUNDS, FIT_ROUNDS = 320, 0.05, 32, 7, 3


def measure(data: Path) -> list[dict]:
    good = images(paths_in(data / "screw" / "train" / "good", 320), SIDE)
    tests = images(paths_in(data / "screw" / "test"), SIDE)
    results = []
    model = _patchcore()
    seconds = alternate(FIT_ROUNDS, adlib=lambda: model.fit(good))
    seconds["anomalib"] = [_fit_anomalib(good)]
    results += compared("fit, 320 images of 320x320, 5 %", seconds)
    bank = model.memory_bank_.embeddings
    theirs = patchcore_model(bank)
    asked = normalised(tests)
    for n_images in (1, BATCH):
        part = slice(0, n_images)
        seconds = alternate(
            ROUNDS,
            adlib=lambda part=part: list(model.inspect(tests[part])),
            anomalib=lambda part=part: theirs(asked[part]),
        )
        results += compared(f"predict, {n_images} image(s) a call", seconds)
    agreement = {}
    for aggregation, n_neighbors in (("max", 1), ("reweighted", 9)):
        model.set_params(aggregation=aggregation, n_neighbors=max(n_neighbors, 2))
        scores = model.score(tests)
        theirs.num_neighbors = n_neighbors
        parts = [theirs(asked[i : i + 8]).pred_score for i in range(0, len(asked), 8)]
        others = torch.cat(parts).numpy()
        agreement[f"Spearman, {aggregation}"] = float(spearmanr(scores, others)[0])
        error = np.max(np.abs(scores - others) / others)
        agreement[f"largest relative difference, {aggregation}"] = float(error)
    for result in results:
        if result["task"].startswith("predict"):
            result["agreement"] = agreement
    return results


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
def _fit_anomalib(good: np.ndarray) -> float:
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
