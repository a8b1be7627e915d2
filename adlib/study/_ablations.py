"""What each choice of a detector is worth: the same images, one choice changed."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import PixelCurves
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import FPR_LIMIT, auroc_interval, delong_row
from adlib.study._fitting import new_detector, timed_fit
from adlib.study._predictions import Predictions
from adlib.study._tables import figures, row

# What an image score is made of; it changes without retraining.
OF_SCORES = {"aggregation", "top_ratio", "n_neighbors"}


def variants(method: str, config: Config) -> dict[str, dict[str, Any]]:
    """Return the choices that the study takes apart: parameters by setting."""
    size, n_channels = config.backbone.image_size, config.padim.n_channels
    sizes = [round(size * factor / 32) * 32 for factor in (0.7, 1.4)]
    of_sizes = {f"image-size {side}": {"image_size": side} for side in sizes}
    if method == names.PADIM:
        numbers = sorted({max(1, n_channels // factor) for factor in (8, 4, 2)})
        return {
            **{f"channels {n}": {"n_channels": n} for n in numbers},
            **of_sizes,
            **{f"regularization {e:g}": {"regularization": e} for e in (0.01, 1.0)},
        }
    return {
        **{f"coreset {100 * c:g} %": {"coreset": c} for c in (0.01, 0.1)},
        "selection random": {"selection": "random"},
        "selection random, 1 %": {"selection": "random", "coreset": 0.01},
        "stages stride 8": {"stages": (2,)},
        "stages stride 16": {"stages": (3,)},
        "stages strides 4, 8, 16": {"stages": (1, 2, 3)},
        "aggregation max": {"aggregation": "max"},
        "aggregation top 5 %": {"top_ratio": 0.05},
        "aggregation re-weighted": {"aggregation": "reweighted"},
        "embedding paper": {"embedding": "paper"},
        "embedding nearest": {"embedding": "nearest"},
        **of_sizes,
        **{f"projection {n}": {"projection": n} for n in (16, 64)},
    }


def ablate(
    method: str,
    config: Config,
    split: ClassSplit,
    choices: Mapping[str, dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """Measure a detector and its variants on a split's validation images.

    Validation images, because choices are made on what this shows; test images are not
    touched.

    Returns:
        Figures of setting "configured" and of each variant, and of the differences to
        the first.
    """
    chosen = variants(method, config) if choices is None else choices
    rows = list(_rows(new_detector(method, config), chosen, split))
    keys = {"condition": names.CLEAN, "method": method}
    return figures(rows, class_=split.class_name, **keys)


def _rows(
    model: AnomalyDetector, choices: Mapping[str, dict[str, Any]], split: ClassSplit
) -> Iterator[dict[str, Any]]:
    parameters = model.get_params()
    seconds: float | None = timed_fit(model, split)
    baseline, per_image = _judged(model, split)
    yield from _measured(names.CONFIGURED, split, baseline, None, seconds, per_image)
    for setting, changed in choices.items():
        if changed.keys() <= OF_SCORES:
            variant, seconds = copy.copy(model).set_params(**changed), None
        else:
            variant = type(model)(**{**parameters, **changed})
            seconds = timed_fit(variant, split)
        found, per_image = _judged(variant, split)
        yield from _measured(setting, split, found, baseline, seconds, per_image)


def _judged(model: AnomalyDetector, split: ClassSplit) -> tuple[Predictions, float]:
    """Return what a model says of validation images, and the seconds each took."""
    with without_feature_cache():
        started = time.perf_counter()
        found = Predictions.of(model, split.val)
        return found, (time.perf_counter() - started) / len(split.val)


def _measured(
    setting: str,
    split: ClassSplit,
    found: Predictions,
    baseline: Predictions | None,
    fit_seconds: float | None,
    seconds_an_image: float,
) -> Iterator[dict[str, Any]]:
    usable = found.usable if baseline is None else found.usable & baseline.usable
    anomalous, scores = found.anomalous[usable], found.scores[usable]
    keys: dict[str, Any] = {"setting": setting, "n": len(scores)}
    yield row("val_auroc", *auroc_interval(anomalous, scores)[:3], **keys)
    if baseline is not None:
        others, versus = baseline.scores[usable], {"versus": names.CONFIGURED}
        yield delong_row("val_auroc", anomalous, scores, others, **versus, **keys)
    if found.located is not None:
        curves = PixelCurves.of(*found.located)
        yield row("val_pixel_auroc", curves.auroc, **keys)
        yield row("val_aupro", curves.aupro(FPR_LIMIT), **keys)
    if fit_seconds is not None:
        yield row("fit_seconds", fit_seconds, setting=setting)
    yield row("score_milliseconds", 1000 * seconds_an_image, **keys)
    yield row("n_training", len(split.train), setting=setting)
