"""Measure a model, or scores from elsewhere, on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from adlib._typing import BoolArray, Float64Array
from adlib.datasets import Sample, read_mask
from adlib.datasets._layouts import class_names
from adlib.estimators import AnomalyDetector
from adlib.estimators._aggregation import compare_aggregations
from adlib.metrics import (
    PixelCurves,
    aupimo,
    best_f1,
    bootstrap_interval,
    compute_accuracy_precision_recall,
    compute_f1_at_threshold,
    delong_test,
    fit_probabilities,
    fpr_at_tpr,
    per_defect_type,
)
from adlib.metrics._bootstrap import Interval
from adlib.metrics._breakdown import (
    by_defect_size,
    by_position,
    mask_area_ratio,
    touches_border,
)
from adlib.metrics._image_metrics import confusion_counts
from adlib.metrics._probabilities import (
    brier_score,
    expected_calibration_error,
    reliability,
)
from adlib.study import _names as names
from adlib.study._predictions import Chosen, Predictions
from adlib.study._tables import figures, row, scores
from adlib.thresholds import calibrate_threshold, compare_thresholds, zone_thresholds

N_RESAMPLES = 2000
FPR_LIMIT = 0.3  # where the PRO curve is cut
N_BINS = 8  # of a reliability curve, at most
ZONES = ((1, 1), (4, 4))
ZONE_RATE = 0.01  # of the normal validation pixels, above their zone's threshold

Rows: TypeAlias = list[dict[str, Any]]


def evaluate(
    model_or_scores: AnomalyDetector | Any,
    samples: Sequence[Sample],
    threshold: float | None = None,
    *,
    method: str | None = None,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure everything that the data allow: by image, pixel, region and defect.

    Args:
        model_or_scores: A fitted model; or image scores, (n_images,), higher = more
            anomalous, NaN where an image was skipped.
        samples: The images that it is measured on, with their labels and masks.
        threshold: Above it an image is predicted anomalous. It must come from other
            images. None: that of the model, where it has one.
        method: The column "method"; None: the name of the model's class, or "scores".
        n_resamples: Of the bootstrap intervals.
        random_state: Of the bootstrap.

    Returns:
        A row a number, with the columns of ``read_figures``: image metrics, AUROC,
        average precision and F1 with BCa bootstrap intervals at 95 %; verdicts; pixel
        metrics; and, as settings, defect types, sizes and positions. Without anomalous,
        or without normal images there are no ranking metrics; without a threshold no
        verdicts; without masks nothing by pixel.

    Raises:
        ImageError: An image is unusable and the model does not skip it, or a mask is.
        NotFittedError: The model was not fitted.
        TypeError, ValueError: Scores or another argument are not as stated.

    Note:
        Masks are brought to the size of the maps, by the nearest pixel, as published
        results are made. Anomalous images without a mask count by image alone. The PRO
        curve is cut at a false-positive rate of 0.3.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "crack", None, "part", "test")
        ...     for i in range(8)]
        >>> found = evaluate([1, 3, 2, 4, 1, 2, 3, 5], samples, 2.5, n_resamples=99)
        >>> float(found.set_index(["setting", "metric"]).value["", "auroc"])
        0.875
    """
    if isinstance(model_or_scores, AnomalyDetector):
        masked = any(sample.mask_path is not None for sample in samples)
        predictions = Predictions.of(model_or_scores, samples, maps=masked)
        if threshold is None:
            threshold = model_or_scores.threshold_
        method = type(model_or_scores).__name__ if method is None else method
    else:
        predictions = Predictions.from_scores(model_or_scores, samples)
    rows = image_rows(
        predictions, threshold, n_resamples=n_resamples, random_state=random_state
    )
    name = ", ".join(class_names(predictions.samples))
    rows += pixel_rows(predictions)
    return figures(rows, method=method or "scores", class_=name)


@dataclass(frozen=True, eq=False)
class Run:
    """What a fitted model with a threshold says of a class's val and test images."""

    method: str
    class_name: str
    threshold: float
    val: Predictions
    test: Predictions
    random_state: int = 0

    @cached_property
    def best_f1_threshold(self) -> float:
        """The threshold of best F1 on the validation images."""
        return calibrate_threshold(*self.val.parted())

    @cached_property
    def threshold_free(self) -> Rows:
        """What no choice of a threshold changes: pixels, rules, ways, probabilities."""
        return [
            *pixel_rows(self.test),
            *_rule_rows(self.val, self.test),
            *_aggregation_rows(self.test),
            *self._probability_rows(),
            *zone_rows(self),
        ]

    def figures(self, condition: str, threshold: float | None = None) -> pd.DataFrame:
        """Return everything that is measured at a threshold; None: the model's own."""
        limit = self.threshold if threshold is None else threshold
        rows = image_rows(self.test, limit, random_state=self.random_state)
        keys = {"method": self.method, "class_": self.class_name}
        return figures([*rows, *self.threshold_free], condition=condition, **keys)

    def scores(self, condition: str, threshold: float | None = None) -> pd.DataFrame:
        """Return a row for each validation and test image."""
        limit = self.threshold if threshold is None else threshold
        known = {"condition": condition, "method": self.method, "threshold": limit}
        known["class"] = self.class_name
        return scores(
            {
                **known,
                "split": split,
                "image": sample.image_path.name,
                "label": sample.label,
                "defect_type": sample.defect_type,
                "score": float(score),
                "verdict": None if np.isnan(score) else -1 if score > limit else 1,
            }
            for split, of in (("val", self.val), ("test", self.test))
            for sample, score in zip(of.samples, of.scores, strict=True)
        )

    def probabilities(self) -> tuple[BoolArray, Float64Array, dict[str, Any]]:
        """Return test labels, their probabilities, and the map learned on validation.

        Validation and test images hold other shares of anomalous ones than a line does,
        so these probabilities are those of the data set.
        """
        learned = fit_probabilities(*self.val.scored(), "logistic")
        anomalous, found = self.test.scored()
        return anomalous, learned(found), learned.as_dict()

    def _probability_rows(self) -> Rows:
        anomalous, found, learned = self.probabilities()
        error = expected_calibration_error(anomalous, found, n_bins=N_BINS)
        pairs = {
            "expected_calibration_error": error,
            "brier_score": brier_score(anomalous, found),
            **{f"logistic_{k}": v for k, v in learned.items() if k != "method"},
        }
        n = len(found)
        rows = [row(k, v, n=n, setting="reliability") for k, v in pairs.items()]
        curve = reliability(anomalous, found, n_bins=N_BINS)
        points = zip(curve.predicted, curve.observed, curve.counts, strict=True)
        for number, (predicted, observed, n_images) in enumerate(points, 1):
            setting = {"setting": f"bin {number}", "n": int(n_images)}
            rows.append(row("predicted", float(predicted), **setting))
            rows.append(row("observed", float(observed), **setting))
        return rows


def run_on_split(
    model: AnomalyDetector, split: Any, *, val_maps: bool = False, random_state: int = 0
) -> Run:
    """Let a fitted model with a threshold look at validation and test images, once."""
    name = type(model).__name__
    if model.threshold_ is None:
        raise ValueError(
            f"model of run_on_split must have a threshold; {name} was saved without "
            "one. Call calibrate with the validation images."
        )
    val = Predictions.of(model, split.val, maps=val_maps)
    test = Predictions.of(model, split.test)
    return Run(name, split.class_name, model.threshold_, val, test, random_state)


def auroc_interval(
    anomalous: BoolArray, scores: Float64Array, random_state: int = 0
) -> Interval:
    """Return AUROC with its 95 % interval, by the bootstrap.

    Near 1 the bootstrap describes the lopsided uncertainty better than DeLong's method.
    """
    return bootstrap_interval(
        "auroc", anomalous, scores, n_resamples=N_RESAMPLES, random_state=random_state
    )


def delong_row(
    metric: str, anomalous: BoolArray, scores: Any, others: Any, **keys: Any
) -> dict[str, Any]:
    """Return the row of a difference of AUROC, by DeLong's method."""
    test = delong_test(anomalous, scores, others)
    return row(metric, test.difference, test.low, test.high, p=test.p_value, **keys)


def image_rows(
    predictions: Predictions, threshold: float | None, **options: Any
) -> Rows:
    """Return image metrics, and those of groups of defects."""
    anomalous, found = predictions.scored()
    n, n_anomalous = len(found), int(anomalous.sum())
    both = 0 < n_anomalous < n
    options = {"n_resamples": N_RESAMPLES, **options}
    rows = [
        row("n_normal", n - n_anomalous, n=n),
        row("n_anomalous", n_anomalous, n=n),
        row("n_skipped", len(predictions.samples) - n, n=len(predictions.samples)),
    ]
    if both:
        auroc = bootstrap_interval("auroc", anomalous, found, **options)
        precision = bootstrap_interval("average_precision", anomalous, found, **options)
        best = best_f1(anomalous, found)
        false_rate = fpr_at_tpr(anomalous, found, 0.95)
        rows.append(row(names.AUROC, *auroc[:3], n=n))
        rows.append(row(names.AVERAGE_PRECISION, *precision[:3], n=n))
        rows.append(row("fpr_at_95_tpr", false_rate, n=n))
        rows.append(row("best_f1", best.f1, n=n))
        rows.append(row("best_f1_threshold", best.threshold, n=n))
    if threshold is not None and n:
        rows += _verdict_rows(anomalous, found, threshold, options)
    if both:
        rows += _group_rows(predictions, threshold)
    return rows


def pixel_rows(predictions: Predictions) -> Rows:
    """Return pixel and region metrics; none without maps or masks."""
    if predictions.located is None:
        return []
    masks, maps = predictions.located
    curves = PixelCurves.of(masks, maps)
    best, (height, width) = curves.best_f1, maps[0].shape
    found: dict[str, float] = {
        names.PIXEL_AUROC: curves.auroc,
        "pixel_average_precision": curves.average_precision,
        "pixel_best_f1": best.f1,
        "pixel_best_f1_threshold": best.threshold,
        names.AUPRO: curves.aupro(FPR_LIMIT),
    }
    if any(not mask.any() for mask in masks):  # there are normal images
        found["aupimo"] = aupimo(masks, maps).mean
    found |= {"n_regions": curves.n_regions}
    found |= {"map_height": height, "map_width": width}
    return [row(metric, value, n=len(masks)) for metric, value in found.items()]


def zone_rows(run: Run) -> Rows:
    """Return what one threshold a zone of the map is worth, beside one for all.

    Both are set on normal validation maps: at most 1 % of a zone's pixels are above.
    """
    if run.test.located is None or run.val.maps is None:
        return []
    normal = np.flatnonzero(run.val.usable & ~run.val.anomalous).tolist()
    masks, maps = run.test.located
    rows: Rows = []
    for zones in ZONES:
        set_on = Chosen(run.val.maps, normal)
        limits = zone_thresholds(set_on, zones, false_positive_rate=ZONE_RATE)
        counts = np.zeros(4, np.int64)
        for mask, heatmap in zip(masks, maps, strict=True):
            predicted = limits.defect_mask(heatmap)
            counts += np.bincount((2 * mask + predicted).ravel(), minlength=4)
        kept, false, missed, found = counts.tolist()
        rates = {
            "pixel_false_positive_rate": false / (kept + false),
            "pixel_recall": found / (found + missed),
            "pixel_precision": found / (found + false) if found + false else np.nan,
            "pixel_f1": 2 * found / (2 * found + false + missed),
        }
        setting = f"zones {zones[0]}x{zones[1]}"
        rows += [row(k, v, n=len(masks), setting=setting) for k, v in rates.items()]
    return rows


def _verdict_rows(
    anomalous: BoolArray, found: Float64Array, threshold: float, options: Any
) -> Rows:
    """Return what needs a threshold."""
    predicted = found > threshold
    n, n_anomalous = len(found), int(anomalous.sum())
    rates = compute_accuracy_precision_recall(anomalous, predicted)
    rows = [row(names.THRESHOLD, threshold)]
    if 0 < n_anomalous < n:
        interval = bootstrap_interval(
            lambda y, some: compute_f1_at_threshold(y, some, threshold),
            anomalous,
            found,
            **options,
        )
        rows.append(row(names.F1, *interval[:3], n=n))
    rows += [
        row("accuracy", rates.accuracy, n=n),
        row(names.PRECISION, rates.precision, n=int(predicted.sum())),
        row(names.RECALL, rates.recall, n=n_anomalous),
        row(names.SPECIFICITY, rates.specificity, n=n - n_anomalous),
    ]
    confusion = confusion_counts(anomalous, predicted)
    return rows + [row(k, v, n=n) for k, v in confusion._asdict().items()]


def _group_rows(predictions: Predictions, threshold: float | None) -> Rows:
    """Return what is found of each type, size and position of defects."""
    anomalous, found = predictions.scored()
    samples = [predictions.samples[i] for i in np.flatnonzero(predictions.usable)]
    types = [sample.defect_type for sample in samples]
    groups = {"defect": per_defect_type(anomalous, found, types, threshold)}
    known = ~anomalous | np.array([sample.mask_path is not None for sample in samples])
    if anomalous[known].any():
        areas, at_border = np.zeros(len(samples)), np.zeros(len(samples), np.bool_)
        for number, sample in enumerate(samples):
            if sample.mask_path is not None:
                mask = read_mask(sample.mask_path)
                areas[number] = mask_area_ratio(mask)
                at_border[number] = touches_border(mask)
        judged = (anomalous[known], found[known])
        groups["size"] = by_defect_size(*judged, areas[known], threshold)
        groups["position"] = by_position(*judged, at_border[known], threshold)
    rows = []
    for kind, members in groups.items():
        for name, group in members.items():
            keys = {"setting": f"{kind} {name}", "n": group.n_images}
            rows.append(row(names.AUROC, group.auroc, **keys))
            rows.append(row(names.AVERAGE_PRECISION, group.average_precision, **keys))
            if group.recall is not None:
                recall = (group.recall, group.recall_low, group.recall_high)
                rows.append(row(names.RECALL, *recall, **keys))
    return rows


def _rule_rows(val: Predictions, test: Predictions) -> Rows:
    """Return what other rules for the threshold, set on validation, are worth."""
    rows: Rows = []
    for one in compare_thresholds(*val.parted(), *test.scored()):
        keys = {"n": int(test.usable.sum()), "setting": f"rule {one.rule}"}
        numbers = zip(one._fields[1:], one[1:], strict=True)
        rows += [row(metric, value, **keys) for metric, value in numbers]
    return rows


def _aggregation_rows(test: Predictions) -> Rows:
    """Return what other ways from a map to one score are worth."""
    if test.maps is None:
        return []
    positions, rows = np.flatnonzero(test.usable).tolist(), []
    for one in compare_aggregations(Chosen(test.maps, positions), test.scored()[0]):
        keys = {"n": len(positions), "setting": f"aggregation {one.aggregation}"}
        rows += [
            row(names.AUROC, one.auroc, **keys),
            row(names.AVERAGE_PRECISION, one.average_precision, **keys),
            row("best_f1", one.best_f1, **keys),
            row("best_f1_threshold", one.threshold, **keys),
        ]
    return rows
