"""What a model costs: time for one image by stage, throughput, size, and AUROC."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adlib._typing import Float64Array
from adlib.datasets import ANOMALOUS
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, stage_seconds
from adlib.estimators._stage_times import STAGES
from adlib.features._feature_cache import without_feature_cache
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import auroc_interval
from adlib.study._fitting import new_detector
from adlib.study._tables import figures, joined, row

FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the patches, remembered
N_WARM_UP = 3  # images before the clock counts


def measure_model(
    model: AnomalyDetector, split: ClassSplit, *, setting: str = ""
) -> pd.DataFrame:
    """Take a fitted model's times, size and AUROC on validation images.

    Returns:
        Figures: latency of one image from its file to score and map, and of each stage
        ("stage read" etc.), with the share of the mean time; images a second where
        ``inspect`` is given all; size of the file; AUROC.
    """
    paths = [sample.image_path for sample in split.val]
    each = list(stage_seconds(model, [*paths[:N_WARM_UP], *paths]))[N_WARM_UP:]
    seconds = np.array([[one[stage] for stage in STAGES] for one in each])
    with without_feature_cache():
        started = time.perf_counter()
        scores = np.array([one.score for one in model.inspect(paths)])
        passed = time.perf_counter() - started
    labels = np.array([sample.label == ANOMALOUS for sample in split.val])
    whole, n = seconds.sum(axis=1), len(paths)
    rows = [
        *_latency(whole, setting),
        row("images_per_second", n / passed, n=n, setting=setting),
        row("model_megabytes", _file_size(model) / 1e6, setting=setting),
        row("val_auroc", *auroc_interval(labels, scores)[:3], n=n, setting=setting),
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
        model.fit([sample.image_path for sample in split.train])
        setting = f"coreset {100 * fraction:g} %"
        tables.append(measure_model(model, split, setting=setting))
    return joined(*tables)


def _latency(seconds: Float64Array, setting: str) -> list[dict[str, Any]]:
    return [
        row(
            f"latency_ms_p{q}",
            1000 * float(np.percentile(seconds, q)),
            n=len(seconds),
            setting=setting,
        )
        for q in (50, 95, 99)
    ]


def _file_size(model: AnomalyDetector) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        return path.stat().st_size
