"""PaDiM end to end: anomalib's model, plain NumPy, and adlib's, on the same images.

All are given decoded images of 320x320 and the settings of the paper (three stages, 100
channels, the same ones). adlib's defaults are timed too. anomalib adds 0.01 and 1e-5 to
its covariances, so adlib and NumPy add 0.01001, and its blur is given adlib's width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from _anomalib import PADIM_STAGES, normalised, padim_model
from _clock import alternate, compared
from _work import images, paths_in
from scipy.stats import spearmanr

from adlib import PaDiM
from adlib.features import Backbone, Embedder

SIDE, BATCH, ROUNDS, FIT_ROUNDS = 320, 32, 5, 2
SIGMA = 4 * SIDE / 224
REGULARIZATION = 0.01 + 1e-5
PAPER = {
    "stages": PADIM_STAGES,
    "embedding": "nearest",
    "n_channels": 100,
    "regularization": REGULARIZATION,
    "aggregation": "map_max",
}


def measure(data: Path) -> list[dict]:
    good = _tensor(paths_in(data / "screw" / "train" / "good", 320))
    tests = _tensor(paths_in(data / "screw" / "test"))
    results = []
    model = _padim(PAPER).fit(good[:1])  # to know its channels
    channels = model.channels_
    theirs = padim_model(channels, SIGMA)
    plain = NumpyPaDiM(channels)
    asked = normalised(good)
    default = _padim({})
    seconds = alternate(
        FIT_ROUNDS,
        adlib=lambda: model.fit(good),
        default=lambda: default.fit(good),
        anomalib=lambda: fit_anomalib(theirs, asked),
        NumPy=lambda: plain.fit(good),
    )
    results += _both("fit, 320 images", seconds)
    asked = normalised(tests)
    agreement = _agreement(model, theirs, plain, tests, asked)
    for n_images in (1, BATCH):
        part = slice(0, n_images)
        seconds = alternate(
            ROUNDS,
            adlib=lambda part=part: list(model.inspect(tests[part])),
            default=lambda part=part: list(default.inspect(tests[part])),
            anomalib=lambda part=part: theirs(asked[part]),
            NumPy=lambda part=part: plain.score(tests[part]),
        )
        results += _both(f"predict, {n_images} at a time", seconds, agreement)
    return results


def _both(task: str, seconds: dict, agreement: dict | None = None) -> list[dict]:
    """Return records of the paper's settings, and of adlib's defaults beside them."""
    default = {"adlib": seconds.pop("default")}
    default.update((k, v) for k, v in seconds.items() if k != "adlib")
    notes = {"agreement": agreement} if agreement else {}
    return [
        *compared(f"PaDiM, paper's settings: {task}", seconds, **notes),
        *compared(f"PaDiM, adlib's defaults: {task}", default),
    ]


class NumpyPaDiM:
    """PaDiM as one would write it down: all embeddings, np.cov and np.linalg.inv."""

    def __init__(self, channels: np.ndarray) -> None:
        backbone = Backbone(stages=PADIM_STAGES)
        self._embedder = Embedder(backbone, "nearest", channels)

    def embed(self, images: torch.Tensor) -> np.ndarray:
        """Return embeddings, (n_images, n_positions, n_channels)."""
        batches = [self._embedder(part).numpy() for part in images.split(BATCH)]
        whole = np.concatenate(batches)
        return whole.reshape(len(whole), -1, whole.shape[-1])

    def fit(self, images: torch.Tensor) -> None:
        x = self.embed(images)
        self.mean = x.mean(axis=0)
        extra = REGULARIZATION * np.eye(x.shape[-1])
        self.inverses = np.empty((x.shape[1], x.shape[-1], x.shape[-1]))
        for position in range(x.shape[1]):
            covariance = np.cov(x[:, position], rowvar=False)
            self.inverses[position] = np.linalg.inv(covariance + extra)

    def distances(self, images: torch.Tensor) -> np.ndarray:
        """Return Mahalanobis distances, (n_images, n_positions)."""
        left = self.embed(images) - self.mean
        turned = np.einsum("npi,pij->npj", left, self.inverses, optimize=True)
        return np.sqrt((turned * left).sum(axis=-1))

    def score(self, images: torch.Tensor) -> np.ndarray:
        """Return each image's largest distance, (n_images,); maps are left out."""
        return self.distances(images).max(axis=1)


@torch.no_grad()
def fit_anomalib(model, asked: torch.Tensor) -> None:
    model.train()
    model.feature_extractor.eval()
    model.memory_bank = []
    for part in asked.split(BATCH):
        model(part)
    model.fit()
    model.eval()


@torch.no_grad()
def _agreement(model, theirs, plain, tests, asked) -> dict:
    """Return how far scores and distances of all three lie apart.

    Maps differ at their borders, where anomalib mirrors them without the border pixel
    and adlib with it; highest patch distances do not.
    """
    maps, highest = [], []
    for part in asked.split(8):
        maps.append(theirs(part).pred_score.flatten())
        embeddings = theirs.generate_embedding(theirs.feature_extractor(part))
        learned = [theirs.gaussian.mean, theirs.gaussian.inv_covariance]
        distances = theirs.anomaly_map_generator.compute_distance(embeddings, learned)
        highest.append(distances.amax(dim=(1, 2, 3)))
    from_maps = model.score(tests)
    scores = model.set_params(aggregation="max").score(tests)
    model.set_params(aggregation="map_max")
    plain_scores = np.concatenate([plain.score(part) for part in tests.split(8)])
    their_maps, their_scores = torch.cat(maps).numpy(), torch.cat(highest).numpy()
    return {
        "Spearman of maps' maxima, anomalib": float(
            spearmanr(from_maps, their_maps)[0]
        ),
        "largest relative difference of them": _error(from_maps, their_maps),
        "of highest patch distances, anomalib": _error(scores, their_scores),
        "of highest patch distances, NumPy": _error(scores, plain_scores),
    }


def _error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.max(np.abs(ours - theirs) / theirs))


def _padim(settings: dict) -> PaDiM:
    shared = {"image_size": SIDE, "batch_size": BATCH, "device": "cpu"}
    return PaDiM(**shared, **settings, progress=False)


def _tensor(paths: list[Path]) -> torch.Tensor:
    return torch.from_numpy(images(paths, SIDE))
