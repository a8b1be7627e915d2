"""Fit the detectors of the study; what each choice of them is worth, and costs."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from adlib._typing import Float64Array
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PaDiM, PatchCore, stage_seconds
from adlib.estimators._stage_times import STAGES
from adlib.features._embedding import embedding_length
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import PixelCurves, compute_auroc
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import FPR_LIMIT, auroc_row, delong_row
from adlib.study._predictions import Predictions, anomalous_of, paths_of
from adlib.study._tables import Rows, figures, joined, row, rows_of, write_json
from adlib.thresholds import calibrate_threshold

# Parameters that change speed alone, or say nothing of the model.
LEFT_OUT = {"batch_size", "device", "n_workers", "on_error", "progress"}
# What an image score is made of; it changes without retraining.
OF_SCORES = {"aggregation", "top_ratio", "n_neighbors"}
FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the patches, remembered
N_WARM_UP = 3  # images before the clock counts
T = TypeVar("T")


def new_detector(method: str, config: Config, **changed: Any) -> PatchCore | PaDiM:
    """Return an unfitted detector as the configuration has it, but for ``changed``."""
    stated = {
        "backbone": config.backbone.name,
        "image_size": config.backbone.image_size,
        "random_state": config.seed,
    }
    if method == names.PATCHCORE:
        return PatchCore(**{**stated, **config.patchcore.model_dump(), **changed})
    return PaDiM(**{**stated, **config.padim.model_dump(), **changed})


def timed(work: Callable[..., T], *given: Any) -> tuple[T, float]:
    """Return what a call returns, and its seconds, without kept feature maps."""
    with without_feature_cache():
        started = time.perf_counter()
        found = work(*given)
        return found, time.perf_counter() - started


def fit_on_split(
    model: PatchCore | PaDiM,
    split: ClassSplit,
    path: Path,
    *,
    condition: str = names.CLEAN,
    setting: str = "",
    keep: bool = True,
) -> pd.DataFrame:
    """Fit a model, set its threshold of best F1 on validation images, and save it.

    Figures: times, sizes, and AUROC and separation on the validation images.
    """
    labels = anomalous_of(split.val)
    _, fit_seconds = timed(model.fit, paths_of(split.train))
    scores, seconds = timed(model.score, paths_of(split.val))
    values, n = scores.astype(np.float64), len(labels)
    model.threshold_ = calibrate_threshold(values[~labels], values[labels])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    facts = model_facts(model)
    rows = [
        row("fit_seconds", fit_seconds),
        row("score_milliseconds", 1000 * seconds / n, n=n),
        row("model_megabytes", path.stat().st_size / 1e6),
        row("val_auroc", compute_auroc(labels, scores), n=n),
        row("val_separation", separation(values[~labels], values[labels]), n=n),
        row(names.THRESHOLD, model.threshold_, n=n),
    ]
    if keep:
        kinds = {"n_normal": int((~labels).sum()), "n_anomalous": int(labels.sum())}
        threshold = {"rule": "best F1", **kinds}
        write_json({**facts, "threshold": threshold}, path.with_suffix(".json"))
    else:
        path.unlink()
    height, width = facts["grid"]
    numbers = {"grid_height": height, "grid_width": width, **facts}
    rows += rows_of({k: v for k, v in numbers.items() if isinstance(v, int)})
    keys = {"class_": split.class_name, "setting": setting}
    return figures(rows, condition=condition, method=type(model).__name__, **keys)


def separation(normal: Float64Array, anomalous: Float64Array) -> float | None:
    """Return how far apart the scores of two kinds lie, in standard deviations.

    The difference of the means over the root of the mean variance (d' of signal
    detection, d_a for unequal variances: Green and Swets 1966). It still tells models
    apart that all rank every image right, where AUROC is 1. None for fewer than two
    images of a kind, and where no score differs.
    """
    if min(len(normal), len(anomalous)) < 2:  # noqa: PLR2004 - no variance
        return None
    spread = np.sqrt((normal.var(ddof=1) + anomalous.var(ddof=1)) / 2)
    return float((anomalous.mean() - normal.mean()) / spread) if spread else None


def model_facts(model: PatchCore | PaDiM) -> dict[str, Any]:
    """Return what a fitted model is, so that a report need not assume.

    "grid" is (height, width) of the patches; "n_bank" the entries of "n_patches" that
    are kept, and "n_features" those of "n_embedded" features of an embedding.
    """
    stages, stated = model.backbone_.stages, model.get_params(deep=False)
    facts: dict[str, Any] = {
        "parameters": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in stated.items()
            if name not in LEFT_OUT
        },
        "stages": [{"stride": s.stride, "channels": s.channels} for s in stages],
        "grid": list(model.grid_),
        "n_training": len(model.training_images_),
    }
    if isinstance(model, PatchCore):
        n_bank, n_features = model.memory_bank_.embeddings.shape
        facts |= {"n_bank": n_bank, "n_patches": model.n_patches_}
    else:
        n_features = model.gaussian_.mean.shape[1]
    n_embedded = embedding_length(model.embedding, [s.channels for s in stages])
    return facts | {"n_embedded": n_embedded, "n_features": n_features}


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
    """Measure a detector and its variants on validation images, on which one chooses.

    Figures of setting "configured", of each variant, and of its difference to that.
    """
    chosen = variants(method, config) if choices is None else choices
    model, rows, n = new_detector(method, config), Rows(), len(split.val)
    baseline: Predictions | None = None
    for setting, changed in {names.CONFIGURED: {}, **chosen}.items():
        if baseline is not None and changed.keys() <= OF_SCORES:
            variant = copy.copy(model).set_params(**changed)
        else:
            variant = new_detector(method, config, **changed) if changed else model
            _, seconds = timed(variant.fit, paths_of(split.train))
            rows.append(row("fit_seconds", seconds, setting=setting))
        found, seconds = timed(Predictions.of, variant, split.val)
        rows += _measured(found, baseline, config.seed, setting)
        rows.append(row("score_milliseconds", 1000 * seconds / n, n=n, setting=setting))
        baseline = found if baseline is None else baseline
    keys = {"condition": names.CLEAN, "method": method}
    return figures(rows, class_=split.class_name, **keys)


def _measured(
    found: Predictions, baseline: Predictions | None, seed: int, setting: str
) -> Rows:
    """Return AUROC, also less that of the baseline, and pixel metrics."""
    usable = found.usable if baseline is None else found.usable & baseline.usable
    anomalous, scores = found.anomalous[usable], found.scores[usable]
    keys = {"setting": setting}
    rows = [auroc_row("val_auroc", anomalous, scores, seed, **keys)]
    if baseline is not None:
        pair, versus = (scores, baseline.scores[usable]), names.CONFIGURED
        rows.append(delong_row("val_auroc", anomalous, *pair, versus=versus, **keys))
    if found.located is not None:
        curves = PixelCurves.of(*found.located)
        pixel = {"val_pixel_auroc": curves.auroc, "val_aupro": curves.aupro(FPR_LIMIT)}
        rows += rows_of(pixel, n=len(scores), **keys)
    return rows


def measure_model(
    model: AnomalyDetector, split: ClassSplit, *, setting: str = ""
) -> pd.DataFrame:
    """Take a fitted model's times, size and AUROC on validation images.

    Figures: latency of one image from its file to score and map, and of each stage
    ("stage read" etc.), with the share of the mean time; images a second where
    ``inspect`` is given all; size of the file; AUROC.
    """
    paths = paths_of(split.val)
    each = list(stage_seconds(model, [*paths[:N_WARM_UP], *paths]))[N_WARM_UP:]
    seconds = np.array([[one[stage] for stage in STAGES] for one in each])
    scores, passed = timed(lambda: [one.score for one in model.inspect(paths)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        megabytes = path.stat().st_size / 1e6
    whole, n = seconds.sum(axis=1), len(paths)
    anomalous, seed = anomalous_of(split.val), model.random_state
    rows = [
        *_latency(whole, setting),
        row("images_per_second", n / passed, n=n, setting=setting),
        row("model_megabytes", megabytes, setting=setting),
        auroc_row("val_auroc", anomalous, scores, seed, setting=setting),
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
