"""Measure a model, or scores from elsewhere, on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adlib._typing import BoolArray, Float64Array
from adlib.datasets import Sample, read_mask
from adlib.datasets._layouts import class_names
from adlib.estimators import AnomalyDetector
from adlib.metrics import (
    PixelCurves,
    aupimo,
    best_f1,
    bootstrap_interval,
    compute_accuracy_precision_recall,
    compute_f1_at_threshold,
    fpr_at_tpr,
    per_defect_type,
)
from adlib.metrics._bootstrap import Interval
from adlib.metrics._breakdown import (
    Group,
    by_defect_size,
    by_position,
    mask_area_ratio,
    touches_border,
)
from adlib.metrics._image_metrics import Confusion, confusion_counts
from adlib.study._evaluation import Evaluation, ImageResults, PixelResults
from adlib.study._intervals import N_RESAMPLES
from adlib.study._predictions import Chosen, Predictions

FPR_LIMIT = 0.3


def evaluate(
    model_or_scores: AnomalyDetector | Predictions | Any,
    samples: Sequence[Sample],
    threshold: float | None = None,
    *,
    method: str | None = None,
    fpr_limit: float = FPR_LIMIT,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> Evaluation:
    """Measure everything that the data allow: by image, pixel, region and defect.

    Args:
        model_or_scores: A fitted model; what ``Predictions.of`` kept of one; or image
            scores, (n_images,), higher = more anomalous.
        samples: The images that it is measured on, with their labels and masks.
        threshold: Above it an image is called anomalous. It must come from other
            images. None: that of the model, where it has one.
        method: What the results call the model; None: the name of its class.
        fpr_limit: Where the PRO curve is cut, in (0, 1].
        confidence: Of the bootstrap intervals, in (0, 1).
        n_resamples: Of the bootstrap.
        random_state: Seed of the bootstrap.

    Returns:
        What was found. Without anomalous, or without normal images there are no curves;
        without a threshold no verdicts; without masks nothing by pixel.

    Raises:
        ImageError: An image is unusable and the model does not skip it, or a mask is.
        NotFittedError: The model was not fitted.
        TypeError, ValueError: Scores or another argument are not as stated.

    Note:
        Masks are brought to the size of the maps, by the nearest pixel, as published
        figures are made; see ``Masks`` for those too small to survive that. Anomalous
        images without a mask count by image alone.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> found = evaluate([1, 3, 2, 4, 1, 2, 3, 5], samples, 2.5, n_resamples=99)
        >>> found.figures()["image_auroc"], found.image.recall
        (0.875, 0.75)
    """
    predictions = _predictions(model_or_scores, samples)
    if threshold is None and isinstance(model_or_scores, AnomalyDetector):
        threshold = model_or_scores.threshold_
    if method is None:
        is_model = isinstance(model_or_scores, AnomalyDetector)
        method = type(model_or_scores).__name__ if is_model else "scores"
    usable = predictions.usable
    anomalous, scores = predictions.anomalous[usable], predictions.scores[usable]
    kept = [
        sample
        for sample, scored in zip(predictions.samples, usable, strict=True)
        if scored
    ]
    both = bool(anomalous.any() and not anomalous.all())
    plan = {
        "confidence": confidence,
        "n_resamples": n_resamples,
        "random_state": random_state,
    }
    types: dict[str, Group] = {}
    sizes: dict[str, Group] = {}
    positions: dict[str, Group] = {}
    if both:
        names = [sample.defect_type for sample in kept]
        types = per_defect_type(anomalous, scores, names, threshold)
        sizes, positions = _by_mask(kept, anomalous, scores, threshold)
    return Evaluation(
        method=method,
        class_name=", ".join(class_names(predictions.samples)),
        n_normal=int((~anomalous).sum()),
        n_anomalous=int(anomalous.sum()),
        n_skipped=len(predictions.skipped),
        threshold=threshold,
        image=ImageResults(
            **(_ranking(anomalous, scores, plan) if both else {}),
            **_verdicts(anomalous, scores, threshold, plan),
        ),
        pixel=_pixels(predictions, fpr_limit),
        defect_types=types,
        sizes=sizes,
        positions=positions,
    )


def pixel_curves(predictions: Predictions) -> PixelCurves | None:
    """Return the curves by pixel and region of what a model says.

    Args:
        predictions: With maps; masks are brought to the size of these.

    Returns:
        The curves; None without maps or masks.

    Raises:
        ImageError: A mask is unusable.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, pixel_curves
        >>> samples = [Sample(Path("0.png"), 0, "good", None, "part", "test")]
        >>> pixel_curves(Predictions.from_scores([0.5], samples)) is None  # no maps
        True
    """
    pairs = _pairs(predictions)
    return None if pairs is None else PixelCurves.of(*pairs)


def _predictions(model_or_scores: Any, samples: Sequence[Sample]) -> Predictions:
    if isinstance(model_or_scores, Predictions):
        if model_or_scores.samples != tuple(samples):
            raise ValueError(
                "samples of evaluate must be those that the Predictions were made of, "
                "in the same order."
            )
        return model_or_scores
    if isinstance(model_or_scores, AnomalyDetector):
        masked = any(sample.mask_path is not None for sample in samples)
        return Predictions.of(model_or_scores, samples, maps=masked)
    return Predictions.from_scores(model_or_scores, samples)


def _ranking(
    anomalous: BoolArray, scores: Float64Array, plan: dict[str, Any]
) -> dict[str, Any]:
    """Return what needs both kinds of images and no threshold."""
    best = best_f1(anomalous, scores)
    return {
        "auroc": bootstrap_interval("auroc", anomalous, scores, **plan),
        "auprc": bootstrap_interval("auprc", anomalous, scores, **plan),
        "fpr_at_95_tpr": fpr_at_tpr(anomalous, scores, 0.95),
        "best_f1": best.f1,
        "best_f1_threshold": best.threshold,
    }


def _verdicts(
    anomalous: BoolArray,
    scores: Float64Array,
    threshold: float | None,
    plan: dict[str, Any],
) -> dict[str, Any]:
    """Return what needs a threshold."""
    if threshold is None or not len(scores):
        return {}
    limit = threshold

    def f1(y_true: Any, some: Any) -> float:
        return compute_f1_at_threshold(y_true, some, limit)

    called = scores > limit
    found: dict[str, Interval | Confusion | float | None] = {
        "confusion": confusion_counts(anomalous, called),
        **compute_accuracy_precision_recall(anomalous, called)._asdict(),
    }
    if anomalous.any() and not anomalous.all():
        found["f1"] = bootstrap_interval(f1, anomalous, scores, **plan)
    return found


def _pairs(predictions: Predictions) -> tuple[Chosen, Chosen] | None:
    """Return masks and maps of the images whose pixels can be judged."""
    positions = predictions.masked()
    known = [predictions.samples[position].mask_path for position in positions]
    if predictions.maps is None or all(path is None for path in known):
        return None
    assert predictions.masks is not None  # there are maps
    return Chosen(predictions.masks, positions), Chosen(predictions.maps, positions)


def _pixels(predictions: Predictions, fpr_limit: float) -> PixelResults | None:
    pairs = _pairs(predictions)
    if pairs is None:
        return None
    masks, maps = pairs
    curves = PixelCurves.of(masks, maps)
    has_normal = any(not mask.any() for mask in masks)
    height, width = maps[0].shape
    return PixelResults(
        auroc=curves.auroc,
        auprc=curves.average_precision,
        best_f1=curves.best_f1.f1,
        best_f1_threshold=curves.best_f1.threshold,
        aupro=curves.aupro(fpr_limit),
        fpr_limit=fpr_limit,
        aupimo=aupimo(masks, maps).mean if has_normal else None,
        n_images=len(masks),
        n_regions=curves.counts.n_regions,
        height=height,
        width=width,
    )


def _by_mask(
    samples: Sequence[Sample],
    anomalous: BoolArray,
    scores: Float64Array,
    threshold: float | None,
) -> tuple[dict[str, Group], dict[str, Group]]:
    """Return what is found of small and large, and of inner and outer defects."""
    known = ~anomalous | np.array([sample.mask_path is not None for sample in samples])
    if not anomalous[known].any():
        return {}, {}
    areas, at_border = np.zeros(len(samples)), np.zeros(len(samples), np.bool_)
    for number, sample in enumerate(samples):
        if sample.mask_path is not None:
            mask = read_mask(sample.mask_path)
            areas[number] = mask_area_ratio(mask)
            at_border[number] = touches_border(mask)
    judged = (anomalous[known], scores[known])
    return (
        by_defect_size(*judged, areas[known], threshold),
        by_position(*judged, at_border[known], threshold),
    )
