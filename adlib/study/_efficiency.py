"""What a model costs: time for one image by stage, throughput, size, and AUROC."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adlib._typing import Float64Array
from adlib.datasets import ANOMALOUS
from adlib.estimators import AnomalyDetector, PatchCore, stage_seconds
from adlib.estimators._stage_times import STAGES
from adlib.features._feature_cache import without_feature_cache
from adlib.study._fitting import what_was_learned
from adlib.study._intervals import auroc_interval
from adlib.study._json import plain
from adlib.study._tables import text_table

if TYPE_CHECKING:
    from adlib.datasets import Sample
    from adlib.datasets._splits import ClassSplit

FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the patches, remembered
N_WARM_UP = 3  # images before the clock counts
QUANTILES = (50, 95, 99)


@dataclass(frozen=True)
class StageTime:
    """How long one stage takes for one image.

    Attributes:
        method: "PatchCore" or "PaDiM".
        class_name: The class.
        stage: One of ``adlib.estimators.STAGES``, or "all".
        p50_milliseconds: Median over images.
        p95_milliseconds: 95th percentile.
        p99_milliseconds: 99th percentile.
        share: Of the mean time of all stages.
    """

    method: str
    class_name: str
    stage: str
    p50_milliseconds: float
    p95_milliseconds: float
    p99_milliseconds: float
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class ModelCost:
    """What a model costs, and what it is worth on validation images.

    Attributes:
        method: "PatchCore" or "PaDiM".
        class_name: The class.
        setting: What it was learned with.
        n_training: Images learned from.
        n_timed: Images timed one at a time.
        megabytes: Size of the model file.
        auroc: Image AUROC.
        auroc_low: Lower bound at 95 percent confidence, by the bootstrap.
        auroc_high: Upper bound.
        p50_milliseconds: For one image from its file to score and map, median.
        p95_milliseconds: 95th percentile.
        p99_milliseconds: 99th percentile.
        images_a_second: Where ``inspect`` is given all images.
        learned: What the model says of itself.
    """

    method: str
    class_name: str
    setting: str
    n_training: int
    n_timed: int
    megabytes: float
    auroc: float
    auroc_low: float
    auroc_high: float
    p50_milliseconds: float
    p95_milliseconds: float
    p99_milliseconds: float
    images_a_second: float
    learned: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def measure_model(
    model: AnomalyDetector,
    samples: Sequence[Sample],
    *,
    class_name: str,
    setting: str = "",
) -> tuple[ModelCost, list[StageTime]]:
    """Take a fitted model's times, size and AUROC on images.

    Args:
        model: Fitted.
        samples: Normal and anomalous images that it did not learn from, more than
            three; validation images, where a choice rests on what comes out.
        class_name: Noted in the results.
        setting: Likewise.

    Returns:
        The model's cost, and its times stage by stage and of all.

    Raises:
        ValueError: There are fewer than two normal or two anomalous images.
        ImageError: An image is unusable.
        NotFittedError: The model was not fitted.
        OSError: There is no room for a temporary model file.
    """
    method = type(model).__name__
    paths = [sample.image_path for sample in samples]
    each = list(stage_seconds(model, [*paths[:N_WARM_UP], *paths]))[N_WARM_UP:]
    seconds = np.array([[one[stage] for stage in STAGES] for one in each])
    with without_feature_cache():
        started = time.perf_counter()
        scores = np.array([one.score for one in model.inspect(paths)])
        passed = time.perf_counter() - started
    labels = np.array([sample.label == ANOMALOUS for sample in samples])
    interval = auroc_interval(labels, scores)
    whole = seconds.sum(axis=1)
    p50, p95, p99 = _milliseconds(whole)
    cost = ModelCost(
        method=method,
        class_name=class_name,
        setting=setting,
        n_training=len(model.training_images_),
        n_timed=len(paths),
        megabytes=_file_size(model) / 1e6,
        auroc=interval.value,
        auroc_low=interval.low,
        auroc_high=interval.high,
        p50_milliseconds=p50,
        p95_milliseconds=p95,
        p99_milliseconds=p99,
        images_a_second=len(paths) / passed,
        learned=what_was_learned(model),
    )
    columns = [*seconds.T, whole]
    stages = [
        StageTime(
            method,
            class_name,
            stage,
            *_milliseconds(column),
            share=float(column.mean() / whole.mean()),
        )
        for stage, column in zip((*STAGES, "all"), columns, strict=True)
    ]
    return cost, stages


def trade_off(
    new: Sequence[tuple[str, PatchCore]], split: ClassSplit
) -> list[ModelCost]:
    """Learn models of several sizes; measure each on validation images.

    Args:
        new: What each is called, and the unfitted model.
        split: Training images to learn, validation images to measure on.

    Returns:
        The cost of each model, in order.

    Raises:
        ValueError: There are fewer than two normal or two anomalous validation images.
        ImageError: An image is unusable.
    """
    found = []
    for setting, model in new:
        model.fit([sample.image_path for sample in split.train])
        name = split.class_name
        cost, _ = measure_model(model, split.val, class_name=name, setting=setting)
        found.append(cost)
    return found


def cost_table(costs: Sequence[ModelCost]) -> str:
    """Return what models cost as a table for people.

    Args:
        costs: What ``measure_model`` or ``trade_off`` gave.

    Returns:
        A heading, and a line for each model.

    Example:
        >>> from adlib.study import cost_table
        >>> print(cost_table([]))
        method  class  setting  median ms  95 %  99 %  images/s  MB  AUROC
    """
    columns = ["method", "class", "setting", "median ms", "95 %", "99 %"]
    columns += ["images/s", "MB", "AUROC"]
    rows = [
        [
            one.method,
            one.class_name,
            one.setting,
            f"{one.p50_milliseconds:.1f}",
            f"{one.p95_milliseconds:.1f}",
            f"{one.p99_milliseconds:.1f}",
            f"{one.images_a_second:.1f}",
            f"{one.megabytes:.1f}",
            f"{one.auroc:.4f}",
        ]
        for one in costs
    ]
    return text_table(columns, rows, n_names=3)


def stage_table(times: Sequence[StageTime]) -> str:
    """Return times by stage as a table for people.

    Args:
        times: What ``measure_model`` gave.

    Returns:
        A heading, and a line for each stage.

    Example:
        >>> from adlib.study import StageTime, stage_table
        >>> time = StageTime("PaDiM", "part", "all", 20.0, 25.0, 30.0, 1.0)
        >>> print(stage_table([time]))
        method  class  stage  median ms   95 %   99 %  share
        PaDiM   part   all        20.00  25.00  30.00   100%
    """
    columns = ["method", "class", "stage", "median ms", "95 %", "99 %", "share"]
    rows = [
        [
            one.method,
            one.class_name,
            one.stage,
            f"{one.p50_milliseconds:.2f}",
            f"{one.p95_milliseconds:.2f}",
            f"{one.p99_milliseconds:.2f}",
            f"{one.share:.0%}",
        ]
        for one in times
    ]
    return text_table(columns, rows, n_names=3)


def _milliseconds(seconds: Float64Array) -> tuple[float, float, float]:
    p50, p95, p99 = (1000 * float(np.percentile(seconds, q)) for q in QUANTILES)
    return p50, p95, p99


def _file_size(model: AnomalyDetector) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        return path.stat().st_size
