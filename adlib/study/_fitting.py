"""Fit the detectors of the study, and keep how that went and what they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PaDiM, PatchCore
from adlib.features._embedding import embedding_length
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import compute_auroc
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._predictions import anomalous_of, paths_of
from adlib.study._tables import figures, row, rows_of, write_json
from adlib.thresholds import calibrate_threshold

# Parameters that change speed alone, or say nothing of the model.
LEFT_OUT = {"batch_size", "device", "n_workers", "on_error", "progress"}


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


def timed_fit(model: AnomalyDetector, split: ClassSplit) -> float:
    """Fit a detector on a split's training images; return the seconds."""
    with without_feature_cache():
        started = time.perf_counter()
        model.fit(paths_of(split.train))
        return time.perf_counter() - started


def fit_on_split(
    model: AnomalyDetector,
    split: ClassSplit,
    path: Path,
    *,
    condition: str = names.CLEAN,
    setting: str = "",
    keep: bool = True,
) -> pd.DataFrame:
    """Fit a model, set its threshold of best F1 on validation images, and save it.

    Returns:
        Figures: times, sizes, and AUROC on the validation images.
    """
    labels = anomalous_of(split.val)
    fit_seconds = timed_fit(model, split)
    with without_feature_cache():
        started = time.perf_counter()
        scores = model.score(paths_of(split.val))
        seconds = time.perf_counter() - started
    values = scores.astype(np.float64)
    model.threshold_ = calibrate_threshold(values[~labels], values[labels])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    n, megabytes = len(labels), path.stat().st_size / 1e6
    facts = model_facts(model)
    if keep:
        n_anomalous = int(labels.sum())
        rule = {"rule": "best F1", "n_normal": n - n_anomalous}
        rule["n_anomalous"] = n_anomalous
        write_json({**facts, "threshold": rule}, path.with_suffix(".json"))
    else:
        path.unlink()
    rows = [
        row("fit_seconds", fit_seconds),
        row("score_milliseconds", 1000 * seconds / n, n=n),
        row("model_megabytes", megabytes),
        row("val_auroc", compute_auroc(labels, scores), n=n),
        row(names.THRESHOLD, model.threshold_, n=n),
    ]
    height, width = facts["grid"]
    numbers = {"grid_height": height, "grid_width": width, **facts}
    rows += rows_of({k: v for k, v in numbers.items() if isinstance(v, int)})
    keys = {"class_": split.class_name, "setting": setting}
    return figures(rows, condition=condition, method=type(model).__name__, **keys)


def model_facts(model: AnomalyDetector) -> dict[str, Any]:
    """Return what a fitted model is, so that a report need not assume.

    "grid" is (height, width) of the patches; "n_bank" the entries of "n_patches" that
    are kept, and "n_features" those of "n_embedded" features of an embedding.
    """
    stages = model.backbone_.stages
    parameters = model.get_params(deep=False)
    facts: dict[str, Any] = {
        "parameters": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in parameters.items()
            if name not in LEFT_OUT
        },
        "stages": [{"stride": s.stride, "channels": s.channels} for s in stages],
        "grid": list(model.grid_),
        "n_training": len(model.training_images_),
        "learned": "; ".join(
            f"{name} {text}" for name, text in model.describe().items()
        ),
    }
    if isinstance(model, PatchCore):
        n_bank, n_features = model.memory_bank_.embeddings.shape
        facts |= {"n_bank": n_bank, "n_patches": model.n_patches_}
    elif isinstance(model, PaDiM):
        n_features = model.gaussian_.mean.shape[1]
    else:
        return facts
    n_embedded = embedding_length(model.embedding, [s.channels for s in stages])
    return facts | {"n_embedded": n_embedded, "n_features": n_features}
