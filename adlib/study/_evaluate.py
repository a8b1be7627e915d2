"""Measure a model, or scores from elsewhere, on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from adlib import metrics
from adlib._typing import BoolArray
from adlib.datasets import Sample, read_mask
from adlib.datasets._layouts import class_names
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector
from adlib.estimators._aggregation import compare_aggregations
from adlib.metrics import _breakdown, _probabilities
from adlib.metrics._image_metrics import confusion_counts
from adlib.study import _names as names
from adlib.study._predictions import Predictions
from adlib.study._tables import Rows, figures, row, rows_of, scores
from adlib.thresholds import calibrate_threshold, compare_thresholds, zone_thresholds

N_RESAMPLES = 2000
FPR_LIMIT = 0.3  # where the PRO curve is cut
N_BINS = 8  # of a reliability curve, at most
ZONES = ((1, 1), (4, 4))
ZONE_RATE = 0.01  # of the normal validation pixels, above their zone's threshold


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
    options = {"n_resamples": n_resamples, "random_state": random_state}
    rows = image_rows(predictions, threshold, **options) + pixel_rows(predictions)
    name = ", ".join(class_names(predictions.samples))
    return figures(rows, method=method or "scores", class_=name)


@dataclass(frozen=True, eq=False)
class Run:
    """What a fitted model with a threshold says of a class's val and test images."""

    method: str
    class_name: str
    threshold: float
    val: Predictions
    test: Predictions
    random_state: int

    def __str__(self) -> str:
        return f"{self.class_name}, {self.method}"

    @property
    def stem(self) -> str:
        """What files of it begin with."""
        return f"{self.class_name}_{self.method.lower()}"

    @cached_property
    def best_f1_threshold(self) -> float:
        """The threshold of best F1 on the validation images."""
        return calibrate_threshold(*self.val.parted())

    @cached_property
    def threshold_free(self) -> Rows:
        """What no choice of a threshold changes: pixels, rules, ways, probabilities."""
        val, test = self.val, self.test
        return [
            *pixel_rows(test),
            *_rule_rows(val, test),
            *_aggregation_rows(test),
            *_probability_rows(val, test),
            *zone_rows(val, test),
        ]

    def figures(self, condition: str, limit: float) -> pd.DataFrame:
        """Return everything that is measured at a threshold."""
        rows = image_rows(self.test, limit, random_state=self.random_state)
        keys = {"method": self.method, "class_": self.class_name}
        return figures([*rows, *self.threshold_free], condition=condition, **keys)

    def scores(self, condition: str, limit: float) -> pd.DataFrame:
        """Return a row for each validation and test image, predicted by a threshold."""
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


def run_on_split(
    model: AnomalyDetector, split: ClassSplit, *, val_maps: bool = False
) -> Run:
    """Let a fitted model with a threshold look at validation and test images, once."""
    if model.threshold_ is None:
        raise ValueError(
            f"model of run_on_split must have a threshold; {type(model).__name__} was "
            "saved without one. Call calibrate with the validation images."
        )
    val = Predictions.of(model, split.val, maps=val_maps)
    test = Predictions.of(model, split.test)
    name, limit = type(model).__name__, model.threshold_
    return Run(name, split.class_name, limit, val, test, model.random_state)


def auroc_row(
    metric: str, anomalous: BoolArray, scores: Any, random_state: int, **keys: Any
) -> dict[str, Any]:
    """Return the row of AUROC with its interval, by the bootstrap.

    Near 1 the bootstrap describes the lopsided uncertainty better than DeLong's method.
    """
    options: Any = {"n_resamples": N_RESAMPLES, "random_state": random_state}
    found = metrics.bootstrap_interval("auroc", anomalous, scores, **options)
    return row(metric, *found, n=len(anomalous), **keys)


def delong_row(
    metric: str, anomalous: BoolArray, scores: Any, others: Any, **keys: Any
) -> dict[str, Any]:
    """Return the row of a difference of AUROC, by DeLong's method."""
    test = metrics.delong_test(anomalous, scores, others)
    keys |= {"n": len(anomalous), "p": test.p_value}
    return row(metric, test.difference, test.low, test.high, **keys)


def image_rows(
    predictions: Predictions, threshold: float | None, **options: Any
) -> Rows:
    """Return image metrics, and those of groups of defects."""
    anomalous, found = predictions.scored()
    n, n_anomalous, n_images = len(found), int(anomalous.sum()), len(predictions.scores)
    both = 0 < n_anomalous < n
    options = {"n_resamples": N_RESAMPLES, **options}
    rows = rows_of({"n_normal": n - n_anomalous, "n_anomalous": n_anomalous}, n=n)
    rows.append(row("n_skipped", n_images - n, n=n_images))
    if both:
        best = metrics.best_f1(anomalous, found)
        measured: dict[str, Any] = {
            metric: metrics.bootstrap_interval(metric, anomalous, found, **options)
            for metric in ("auroc", "average_precision")
        }
        measured["fpr_at_95_tpr"] = metrics.fpr_at_tpr(anomalous, found, 0.95)
        measured |= {"best_f1": best.f1, "best_f1_threshold": best.threshold}
        rows += rows_of(measured, n=n)
    if threshold is not None and n:
        limit, predicted = threshold, found > threshold
        rows.append(row(names.THRESHOLD, limit))
        if both:
            f1 = metrics.bootstrap_interval(
                lambda y, some: metrics.compute_f1_at_threshold(y, some, limit),
                anomalous,
                found,
                **options,
            )
            rows += rows_of({names.F1: f1}, n=n)
        rates = metrics.compute_accuracy_precision_recall(anomalous, predicted)
        of = (n, int(predicted.sum()), n_anomalous, n - n_anomalous)
        for (metric, rate), count in zip(rates._asdict().items(), of, strict=True):
            rows.append(row(metric, rate, n=count))
        rows += rows_of(confusion_counts(anomalous, predicted)._asdict(), n=n)
    return rows + (_group_rows(predictions, threshold) if both else [])


def pixel_rows(predictions: Predictions) -> Rows:
    """Return pixel and region metrics; none without maps or masks."""
    if predictions.located is None:
        return []
    masks, maps = predictions.located
    curves = metrics.PixelCurves.of(masks, maps)
    best, (height, width) = curves.best_f1, maps[0].shape
    found: dict[str, float] = {
        names.PIXEL_AUROC: curves.auroc,
        "pixel_average_precision": curves.average_precision,
        "pixel_best_f1": best.f1,
        "pixel_best_f1_threshold": best.threshold,
        names.AUPRO: curves.aupro(FPR_LIMIT),
    }
    if any(not mask.any() for mask in masks):  # there are normal images
        found["aupimo"] = metrics.aupimo(masks, maps).mean
    found |= {"n_regions": curves.n_regions}
    return rows_of({**found, "map_height": height, "map_width": width}, n=len(masks))


def zone_rows(val: Predictions, test: Predictions) -> Rows:
    """Return what one threshold a zone of the map is worth, beside one for all.

    Both are set on normal validation maps: at most 1 % of a zone's pixels are above.
    """
    if test.located is None or val.maps is None:
        return []
    set_on = val.maps_of(np.flatnonzero(val.usable & ~val.anomalous))
    masks, maps = test.located
    rows = Rows()
    for zones in ZONES:
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
        rows += rows_of(rates, n=len(masks), setting=f"zones {zones[0]}x{zones[1]}")
    return rows


def _group_rows(predictions: Predictions, threshold: float | None) -> Rows:
    """Return what is found of each type, size and position of defects."""
    anomalous, found = predictions.scored()
    samples = [predictions.samples[i] for i in np.flatnonzero(predictions.usable)]
    types = [sample.defect_type for sample in samples]
    groups = {"defect": metrics.per_defect_type(anomalous, found, types, threshold)}
    known = ~anomalous | np.array([sample.mask_path is not None for sample in samples])
    if anomalous[known].any():
        areas, at_border = np.zeros(len(samples)), np.zeros(len(samples), np.bool_)
        for number, sample in enumerate(samples):
            if sample.mask_path is not None:
                mask = read_mask(sample.mask_path)
                areas[number] = _breakdown.mask_area_ratio(mask)
                at_border[number] = _breakdown.touches_border(mask)
        judged = (anomalous[known], found[known])
        groups["size"] = _breakdown.by_defect_size(*judged, areas[known], threshold)
        groups["position"] = _breakdown.by_position(
            *judged, at_border[known], threshold
        )
    rows = Rows()
    for kind, members in groups.items():
        for name, group in members.items():
            keys: dict[str, Any] = {"setting": f"{kind} {name}", "n": group.n_images}
            rows.append(row(names.AUROC, group.auroc, **keys))
            rows.append(row(names.AVERAGE_PRECISION, group.average_precision, **keys))
            if group.recall is not None:
                recall = group.recall, group.recall_low, group.recall_high
                rows.append(row(names.RECALL, *recall, **keys))
    return rows


def _rule_rows(val: Predictions, test: Predictions) -> Rows:
    """Return what other rules for the threshold, set on validation, are worth."""
    compared = compare_thresholds(*val.parted(), *test.scored())
    return _compared_rows("rule", compared, int(test.usable.sum()))


def _aggregation_rows(test: Predictions) -> Rows:
    """Return what other ways from a map to one score are worth."""
    if test.maps is None:
        return []
    maps = test.maps_of(np.flatnonzero(test.usable))
    compared = compare_aggregations(maps, test.scored()[0])
    return _compared_rows("aggregation", compared, len(maps), best="best_f1_")


def _compared_rows(kind: str, compared: Iterable[Any], n: int, best: str = "") -> Rows:
    """Return the fields of records; the one called ``kind`` names the setting."""
    rows = Rows()
    for one in compared:
        found = one._asdict()
        setting = f"{kind} {found.pop(kind)}"
        found[f"{best}threshold"] = found.pop("threshold")
        rows += rows_of(found, n=n, setting=setting)
    return rows


def _probability_rows(val: Predictions, test: Predictions) -> Rows:
    """Return how far probabilities can be trusted that validation scores set.

    Validation and test images hold other shares of anomalous ones than a line does, so
    these probabilities are those of the data set.
    """
    learned = metrics.fit_probabilities(*val.scored(), "logistic")
    anomalous, scores = test.scored()
    found = learned(scores)
    error = _probabilities.expected_calibration_error(anomalous, found, n_bins=N_BINS)
    measured = {"expected_calibration_error": error}
    measured["brier_score"] = _probabilities.brier_score(anomalous, found)
    measured |= {f"logistic_{k}": v for k, v in learned._asdict().items()}
    rows = rows_of(measured, n=len(found), setting="reliability")
    curve = _probabilities.reliability(anomalous, found, n_bins=N_BINS)
    bins = zip(curve.predicted, curve.observed, curve.counts, strict=True)
    for number, (predicted, observed, n) in enumerate(bins, 1):
        point = {"predicted": float(predicted), "observed": float(observed)}
        rows += rows_of(point, setting=f"bin {number}", n=int(n))
    return rows
