"""Compare what an exported graph says of images with what the detector says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adlib._inspection import stretched
from adlib._typing import AnyArray, BoolArray
from adlib._validation import refusal
from adlib.estimators import AnomalyDetector
from adlib.images import Images
from adlib.metrics import compute_auroc
from adlib.runtime import ExportedModel

SCORES, MAPS = 1e-4, 1e-3  # by which scores and maps may differ, relative
TIED = 1e-5  # relative: a score that near to the threshold may get either verdict
LEAST = 0.01  # of the highest: differences of lower ones count relative to this


class Check(NamedTuple):
    """How an exported file compares with its detector.

    Attributes:
        n_images: On how many images they were compared.
        score: The largest relative difference between scores. Those below 1 % of the
            highest count as 1 % of it.
        map: The largest difference between maps, relative to the highest value of all.
        n_flipped: Images that got another verdict, ties left out.
        n_tied: Images that did so with a score that is the threshold but for rounding.
        auroc: Of the detector and of the file, where there were labels; else None.
    """

    n_images: int
    score: float
    map: float
    n_flipped: int
    n_tied: int
    auroc: tuple[float, float] | None


def compare(
    detector: AnomalyDetector,
    exported: ExportedModel,
    images: Images,
    anomalous: BoolArray | None,
) -> Check:
    """Return how results on images, which are read twice at once, differ."""
    scores: list[tuple[float, float]] = []
    n_flipped, n_tied, highest, map_difference = 0, 0, 0.0, 0.0
    threshold = detector.threshold_
    pairs = zip(detector.inspect(images), exported.inspect(images), strict=True)
    for wanted, found in pairs:
        scores.append((wanted.score, found.score))
        assert wanted.map is not None  # ``exported`` raises at unusable images
        assert found.map is not None
        own = stretched(wanted.map, (found.map.shape[0], found.map.shape[1]))
        highest = max(highest, float(own.max()))
        map_difference = max(map_difference, float(np.abs(found.map - own).max()))
        if threshold is not None and wanted.verdict != found.verdict:
            is_tied = abs(wanted.score - threshold) <= TIED * abs(threshold)
            n_tied += is_tied
            n_flipped += not is_tied
    before, after = np.array(scores).T
    auroc = None
    if anomalous is not None:
        auroc = (compute_auroc(anomalous, before), compute_auroc(anomalous, after))
    score_difference = _relative(after - before, before)
    return Check(
        len(scores),
        score_difference,
        map_difference / highest if highest else map_difference,
        n_flipped,
        n_tied,
        auroc,
    )


def _relative(differences: AnyArray, scores: AnyArray) -> float:
    """Return the largest difference relative to its score."""
    sizes = np.abs(scores)
    sizes = np.maximum(sizes, LEAST * sizes.max())
    if not sizes.any():
        return float(np.abs(differences).max())
    return float((np.abs(differences) / sizes).max())


def refuse(found: Check, engine: str, owner: str) -> None:
    """Raise ValueError if a file in float32 does not score as its detector does."""
    # Written so that NaN fails, too.
    if found.score <= SCORES and found.map <= MAPS and not found.n_flipped:
        return
    rule = f"a detector whose graph scores as it does (to {SCORES:g}, maps to {MAPS:g})"
    came = (
        f"scores by {engine} that differ by up to {found.score:.2g}, maps by "
        f"{found.map:.2g}, and {found.n_flipped} other verdicts of {found.n_images}"
    )
    remedy = "Nothing was written. Please report the backbone and these figures."
    raise ValueError(refusal("detector", owner, rule, came, remedy))


def made_images(size: tuple[int, int], *, fixed: bool) -> list[AnyArray]:
    """Return images to compare on where none were given: noise, ramps, and a flat one.

    In colour and in grey; of ``size`` alone if it is ``fixed``, else of others too.
    """
    rng = np.random.default_rng(0)
    height, width = size
    other = size if fixed else (height + height // 2, max(1, width - width // 3))
    ramp = np.linspace(0, 255, height * width).reshape(size)
    return [
        rng.integers(0, 256, (*size, 3), np.uint8),
        rng.integers(0, 256, (*other, 3), np.uint8),
        rng.integers(0, 256, other, np.uint8),
        ramp.astype(np.uint8),
        np.full(size, 128, np.uint8),
    ]
