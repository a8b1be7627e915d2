"""What each choice of a detector is worth, and what a model costs in time and size."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adlib._typing import Float64Array
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, stage_seconds
from adlib.estimators._stage_times import STAGES
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import PixelCurves
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import FPR_LIMIT, auroc_interval, delong_row
from adlib.study._fitting import new_detector, timed_fit
from adlib.study._predictions import Predictions, anomalous_of, paths_of
from adlib.study._tables import Rows, figures, joined, row, rows_of

# What an image score is made of; it changes without retraining.
OF_SCORES = {"aggregation", "top_ratio", "n_neighbors"}
FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the patches, remembered
N_WARM_UP = 3  # images before the clock counts


def variants(method: str, config: Config) -> dict[str, dict[str, Any]]:
    """Return the choices that the study takes apart: parameters by setting."""
    size, n_channels = config.backbone.image_size, config.padim.n_channels
    sizes = {max(32, round(size * factor / 32) * 32) for factor in (0.7, 1.4)}
    of_sizes = {
        f"image-size {side}": {"image_size": side} for side in sorted(sizes - {size})
    }
    if method == names.PADIM:
        numbers = sorted({max(1, n_channels // factor) for factor in (8, 4, 2)})
        return {
            **{f"channels {n}": {"n_channels": n} for n in numbers},
            **{f"pca {n}": {"n_channels": n, "channels": "pca"} for n in numbers},
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
    model, rows = new_detector(method, config), Rows()
    baseline: Predictions | None = None
    for setting, changed in {names.CONFIGURED: {}, **chosen}.items():
        seconds = None
        if baseline is not None and changed.keys() <= OF_SCORES:
            variant = copy.copy(model).set_params(**changed)
        else:
            variant = new_detector(method, config, **changed) if changed else model
            seconds = timed_fit(variant, split)
        with without_feature_cache():
            started = time.perf_counter()
            found = Predictions.of(variant, split.val)
            milliseconds = 1000 * (time.perf_counter() - started) / len(split.val)
        rows += _measured(found, baseline, config.seed, setting)
        if seconds is not None:
            rows.append(row("fit_seconds", seconds, setting=setting))
        n = len(split.val)
        rows.append(row("score_milliseconds", milliseconds, n=n, setting=setting))
        rows.append(row("n_training", len(split.train), setting=setting))
        baseline = found if baseline is None else baseline
    keys = {"condition": names.CLEAN, "method": method}
    return figures(rows, class_=split.class_name, **keys)


def _measured(
    found: Predictions, baseline: Predictions | None, seed: int, setting: str
) -> Rows:
    """Return AUROC, also less that of the baseline, and pixel metrics."""
    usable = found.usable if baseline is None else found.usable & baseline.usable
    anomalous, scores = found.anomalous[usable], found.scores[usable]
    keys: dict[str, Any] = {"setting": setting, "n": len(scores)}
    rows = rows_of({"val_auroc": auroc_interval(anomalous, scores, seed)}, **keys)
    if baseline is not None:
        others, versus = baseline.scores[usable], names.CONFIGURED
        change = delong_row(
            "val_auroc", anomalous, scores, others, versus=versus, **keys
        )
        rows.append(change)
    if found.located is not None:
        curves = PixelCurves.of(*found.located)
        pixel = {"val_pixel_auroc": curves.auroc, "val_aupro": curves.aupro(FPR_LIMIT)}
        rows += rows_of(pixel, **keys)
    return rows


def measure_model(
    model: AnomalyDetector, split: ClassSplit, *, setting: str = ""
) -> pd.DataFrame:
    """Take a fitted model's times, size and AUROC on validation images.

    Returns:
        Figures: latency of one image from its file to score and map, and of each stage
        ("stage read" etc.), with the share of the mean time; images a second where
        ``inspect`` is given all; size of the file; AUROC.
    """
    paths = paths_of(split.val)
    each = list(stage_seconds(model, [*paths[:N_WARM_UP], *paths]))[N_WARM_UP:]
    seconds = np.array([[one[stage] for stage in STAGES] for one in each])
    with without_feature_cache():
        started = time.perf_counter()
        scores = np.array([one.score for one in model.inspect(paths)])
        passed = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        megabytes = path.stat().st_size / 1e6
    whole, n = seconds.sum(axis=1), len(paths)
    auroc = auroc_interval(anomalous_of(split.val), scores, model.random_state)
    rows = [
        *_latency(whole, setting),
        row("images_per_second", n / passed, n=n, setting=setting),
        row("model_megabytes", megabytes, setting=setting),
        *rows_of({"val_auroc": auroc}, n=n, setting=setting),
        row("n_training", len(model.training_images_), setting=setting),
    ]
    if not setting:
        for stage, column in zip(STAGES, seconds.T, strict=True):
            key = f"stage {stage}"
            share = float(column.mean() / whole.mean())
            rows += [*_latency(column, key), row("time_share", share, n=n, setting=key)]
    keys = {"method": type(model).__name__, "class_": split.class_name}
    return figures(rows, condition=names.CLEAN, **keys)


def trade_off(config: Config, split: ClassSplit) -> pd.DataFrame:
    """Measure PatchCore with coresets of several sizes on validation images."""
    tables = []
    for fraction in FRACTIONS:
        model = new_detector(names.PATCHCORE, config, coreset=fraction)
        model.fit(paths_of(split.train))
        setting = f"coreset {100 * fraction:g} %"
        tables.append(measure_model(model, split, setting=setting))
    return joined(*tables)


def _latency(seconds: Float64Array, setting: str) -> Rows:
    shares = (50, 95, 99)
    found = (1000 * np.percentile(seconds, shares)).tolist()
    named = {f"latency_ms_p{q}": value for q, value in zip(shares, found, strict=True)}
    return rows_of(named, n=len(seconds), setting=setting)
