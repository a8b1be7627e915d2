"""What each choice of a detector is worth: the same images, one choice changed."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adlib._validation import refusal
from adlib.datasets import ANOMALOUS
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector
from adlib.features._feature_cache import without_feature_cache
from adlib.metrics import delong_test
from adlib.study._evaluate import FPR_LIMIT, pixel_curves
from adlib.study._fitting import what_was_learned
from adlib.study._intervals import auroc_interval
from adlib.study._json import plain
from adlib.study._predictions import Predictions
from adlib.study._tables import text_table

if TYPE_CHECKING:
    from adlib.datasets import Sample
    from adlib.study._config import Config

# What an image score is made of; it changes without learning anew.
OF_SCORES = {"aggregation", "top_ratio", "n_neighbors"}


@dataclass(frozen=True)
class Variant:
    """A detector with one choice changed.

    Attributes:
        group: Which choice, e.g. "coreset".
        name: What it is, e.g. "1 %".
        changed: The parameters that make it; none: the detector as configured.
    """

    group: str
    name: str
    changed: Mapping[str, Any]


@dataclass(frozen=True)
class AblationRow:
    """What a variant is worth on the images that it was judged on.

    Attributes:
        method: "PatchCore" or "PaDiM".
        class_name: The class.
        group: Which choice was changed.
        name: To what.
        n_training: Images learned from.
        n_judged: Images judged.
        auroc: Image AUROC.
        auroc_low: Lower bound at 95 percent confidence, by the bootstrap.
        auroc_high: Upper bound.
        difference: Its AUROC less that of the detector as configured.
        difference_low: Lower bound, paired, by DeLong; None for the configured one.
        difference_high: Upper bound.
        p_value: Of the difference.
        pixel_auroc: None without masks.
        aupro: To a false-positive rate of 0.3; None without masks.
        fit_seconds: Time to read and learn; None where nothing was learned anew.
        score_milliseconds: Mean time to read and score an image.
        learned: What the model says of itself.
    """

    method: str
    class_name: str
    group: str
    name: str
    n_training: int
    n_judged: int
    auroc: float
    auroc_low: float
    auroc_high: float
    difference: float
    difference_low: float | None
    difference_high: float | None
    p_value: float | None
    pixel_auroc: float | None
    aupro: float | None
    fit_seconds: float | None
    score_milliseconds: float
    learned: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def patchcore_variants(config: Config) -> list[Variant]:
    """Return the choices of PatchCore that the study takes apart.

    Args:
        config: Image sizes are 0.7 and 1.4 times its own.

    Returns:
        One variant a choice; none of them the detector as configured.

    Example:
        >>> from adlib.study import Config, patchcore_variants
        >>> patchcore_variants(Config())[0]
        Variant(group='coreset', name='1 %', changed={'coreset': 0.01})
    """
    size = config.backbone.image_size
    sizes = [round(size * factor / 32) * 32 for factor in (0.7, 1.4)]
    return [
        *(Variant("coreset", f"{100 * c:g} %", {"coreset": c}) for c in (0.01, 0.1)),
        Variant("selection", "random", {"selection": "random"}),
        Variant("selection", "random, 1 %", {"selection": "random", "coreset": 0.01}),
        Variant("stages", "stride 8", {"stages": (2,)}),
        Variant("stages", "stride 16", {"stages": (3,)}),
        Variant("stages", "strides 4, 8, 16", {"stages": (1, 2, 3)}),
        Variant("aggregation", "maximum", {"aggregation": "max"}),
        Variant("aggregation", "top 5 %", {"top_ratio": 0.05}),
        Variant("aggregation", "re-weighted", {"aggregation": "reweighted"}),
        Variant("embedding", "paper", {"embedding": "paper"}),
        Variant("embedding", "nearest", {"embedding": "nearest"}),
        *(Variant("image size", f"{side}", {"image_size": side}) for side in sizes),
        *(Variant("projection", f"{n}", {"projection": n}) for n in (16, 64)),
    ]


def padim_variants(config: Config) -> list[Variant]:
    """Return the choices of PaDiM that the study takes apart.

    Args:
        config: Image sizes and numbers of channels are multiples of its own.

    Returns:
        One variant a choice; none of them the detector as configured.

    Example:
        >>> from adlib.study import Config, padim_variants
        >>> padim_variants(Config())[0]
        Variant(group='channels', name='20', changed={'n_channels': 20})
    """
    size, n_channels = config.backbone.image_size, config.padim.n_channels
    sizes = [round(size * factor / 32) * 32 for factor in (0.7, 1.4)]
    numbers = sorted({max(1, n_channels // factor) for factor in (8, 4, 2)})
    return [
        *(Variant("channels", f"{n}", {"n_channels": n}) for n in numbers),
        *(Variant("image size", f"{side}", {"image_size": side}) for side in sizes),
        *(
            Variant("regularization", f"{e:g}", {"regularization": e})
            for e in (0.01, 1.0)
        ),
    ]


def ablate(
    model: AnomalyDetector, variants: Sequence[Variant], split: ClassSplit
) -> Iterator[AblationRow]:
    """Measure a detector and its variants on a split's validation images.

    Validation images, because choices are made on what this shows.

    Args:
        model: Unfitted, as configured; it stays as it is.
        variants: Of it.
        split: Its training images are learned, its validation images judged; test
            images are not touched.

    Yields:
        The detector as configured, then one row a variant.

    Raises:
        ValueError: The validation images are not of both kinds.
    """
    anomalous = np.array([sample.label == ANOMALOUS for sample in split.val])
    if anomalous.all() or not anomalous.any():
        rule = "normal and anomalous validation images"
        raise ValueError(refusal("split", "ablate", rule, "one kind alone"))
    fitted, seconds = _fitted(model, split)
    baseline, per_image = _judged(fitted, split)
    configured = Variant("as configured", "", {})
    yield _row(fitted, configured, split, baseline, None, seconds, per_image)
    for variant in variants:
        changed: AnomalyDetector = copy.copy(fitted)
        fit_seconds = None
        if variant.changed.keys() <= OF_SCORES:
            changed.set_params(**variant.changed)
        else:
            parameters = {**model.get_params(), **variant.changed}
            changed, fit_seconds = _fitted(type(model)(**parameters), split)
        found, per_image = _judged(changed, split)
        yield _row(changed, variant, split, found, baseline, fit_seconds, per_image)


def some_of(split: ClassSplit, n_training: int, n_judged: int) -> ClassSplit:
    """Return a split of fewer images, evenly picked from each part.

    Args:
        split: What to pick from, in its order, so that every defect type keeps its
            share.
        n_training: At most so many training images.
        n_judged: At most so many validation, and so many test images.

    Returns:
        A split; of two or more images a part keeps its first and its last.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.datasets._splits import ClassSplit
        >>> from adlib.study import some_of
        >>> train = tuple(
        ...     Sample(Path(f"{i}.png"), 0, "good", None, "part", "train")
        ...     for i in range(9))
        >>> fewer = some_of(ClassSplit("part", 42, train, (), ()), 3, 4)
        >>> [sample.image_path.stem for sample in fewer.train]
        ['0', '4', '8']
    """
    return ClassSplit(
        split.class_name,
        split.seed,
        _evenly(split.train, n_training),
        _evenly(split.val, n_judged),
        _evenly(split.test, n_judged),
    )


def ablation_table(rows: Sequence[AblationRow]) -> str:
    """Return what choices are worth as a table for people.

    Args:
        rows: What ``ablate`` gave.

    Returns:
        A heading, and a line for each row.

    Example:
        >>> from adlib.study import ablation_table
        >>> print(ablation_table([]))
        method  class  choice  AUROC  change  95 % interval  pixel  AUPRO  fit s  ms
    """
    columns = ["method", "class", "choice", "AUROC", "change", "95 % interval"]
    columns += ["pixel", "AUPRO", "fit s", "ms"]
    lines = []
    for row in rows:
        change, interval = "", ""
        if row.difference_low is not None and row.difference_high is not None:
            change = f"{row.difference:+.4f}"
            interval = f"[{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
        located = (row.pixel_auroc, row.aupro)
        lines.append(
            [
                row.method,
                row.class_name,
                f"{row.group} {row.name}".rstrip(),
                f"{row.auroc:.4f}",
                change,
                interval,
                *("-" if value is None else f"{value:.4f}" for value in located),
                "-" if row.fit_seconds is None else f"{row.fit_seconds:.1f}",
                f"{row.score_milliseconds:.1f}",
            ]
        )
    return text_table(columns, lines, n_names=3)


def _fitted(model: AnomalyDetector, split: ClassSplit) -> tuple[AnomalyDetector, float]:
    """Return a fitted copy of an unfitted detector, and how long that took."""
    learned = type(model)(**model.get_params())
    with without_feature_cache():
        started = time.perf_counter()
        learned.fit([sample.image_path for sample in split.train])
        return learned, time.perf_counter() - started


def _judged(model: AnomalyDetector, split: ClassSplit) -> tuple[Predictions, float]:
    """Return what a model says of validation images, and the seconds each took."""
    with without_feature_cache():
        started = time.perf_counter()
        found = Predictions.of(model, split.val)
        return found, (time.perf_counter() - started) / len(split.val)


def _row(
    model: AnomalyDetector,
    variant: Variant,
    split: ClassSplit,
    found: Predictions,
    baseline: Predictions | None,
    fit_seconds: float | None,
    seconds_an_image: float,
) -> AblationRow:
    usable = found.usable if baseline is None else found.usable & baseline.usable
    anomalous, scores = found.anomalous[usable], found.scores[usable]
    auroc = auroc_interval(anomalous, scores)
    test = None
    if baseline is not None:
        test = delong_test(anomalous, scores, baseline.scores[usable])
    curves = pixel_curves(found)
    return AblationRow(
        method=type(model).__name__,
        class_name=split.class_name,
        group=variant.group,
        name=variant.name,
        n_training=len(split.train),
        n_judged=int(usable.sum()),
        auroc=auroc.value,
        auroc_low=auroc.low,
        auroc_high=auroc.high,
        difference=0.0 if test is None else test.difference,
        difference_low=None if test is None else test.low,
        difference_high=None if test is None else test.high,
        p_value=None if test is None else test.p_value,
        pixel_auroc=None if curves is None else curves.auroc,
        aupro=None if curves is None else curves.aupro(FPR_LIMIT),
        fit_seconds=fit_seconds,
        score_milliseconds=1000 * seconds_an_image,
        learned=what_was_learned(model),
    )


def _evenly(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """Return at most so many samples, evenly from first to last."""
    if len(samples) <= most:
        return tuple(samples)
    places = np.linspace(0, len(samples) - 1, most).round().astype(int)
    return tuple(samples[place] for place in places)
