"""PatchCore's fit: anomalib's model and adlib's, same weights, images, coreset.

Both are given decoded images of 320x320. anomalib's coreset would take more than an
hour, so it is timed for a few picks and scaled. ``deployed.py`` has what follows fit.
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

from adlib import PatchCore

SIDE, RATIO, BATCH, ROUNDS = 320, 0.05, 32, 5


def measure(data: Path) -> list[dict]:
    good = torch.from_numpy(images(paths_in(data / "screw/train/good", 320), SIDE))
    model = PatchCore(
        image_size=SIDE, coreset=RATIO, batch_size=BATCH, device="cpu", progress=False
    )
    seconds = alternate(ROUNDS, adlib=lambda: model.fit(good))
    seconds["anomalib"] = [_fit_anomalib(good)]
    return compared("fit, 320 images of 320x320, 5 %", seconds)


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
