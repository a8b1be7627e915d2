"""Which parts of a shift hurt, whether one trains another, and how to adapt to it.

Images are shifted as they are read, so that no second data set is written. Adapting
takes no retraining, and most of it no label.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from adlib import metrics
from adlib._typing import AnyArray, Float32Array, Float64Array
from adlib.datasets import Sample, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift_settings import GEOMETRIC, PARTS, PHOTOMETRIC, SEVERITIES
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import Run, auroc_row, delong_row
from adlib.study._fitting import new_detector
from adlib.study._predictions import Predictions, anomalous_of, paths_of
from adlib.study._tables import Rows, figures, joined, rows_of
from adlib.thresholds import transfer_threshold

Domains: TypeAlias = Mapping[str, ShiftSettings | None]
N_ADDED = (4, 16)  # shifted good images that a bank is topped up with


def shift_variants(settings: ShiftSettings) -> dict[str, ShiftSettings | None]:
    """Return every shift that the study takes apart, not shifted first.

    Each part alone, where it is switched on; poses and cameras, each alone; and all
    parts, mild, moderate and severe. Light falls unevenly on every image where
    illumination stands alone, so that it is the light that is measured.
    """
    found: dict[str, ShiftSettings | None] = {names.NOT_SHIFTED: None}
    for part in PARTS:
        if getattr(settings, part) is not None:
            alone = settings.only(part)
            if part == "illumination":
                alone = replace(alone, illumination_ratio=1.0)
            found[f"{part}, moderate"] = alone
    found["geometric, moderate"] = settings.only(*GEOMETRIC)
    found["photometric, moderate"] = settings.only(*PHOTOMETRIC)
    return found | {f"all parts, {s}": settings.scaled(s) for s in SEVERITIES}


def planes_of(sample: Sample) -> Float32Array:
    """Return an image's planes, (1 or 3, height, width)."""
    pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def shifted_planes(planes: Float32Array, shift: Callable[..., Any]) -> Float32Array:
    """Return an image's planes as a shift makes them."""
    no_mask = torch.zeros((1, *planes.shape[1:]), dtype=torch.uint8)
    image, _ = shift(torch.from_numpy(planes), no_mask)
    return np.asarray(image.numpy())


def shifted_images(
    samples: Sequence[Sample], settings: ShiftSettings | None, seed: int
) -> Iterator[AnyArray]:
    """Yield images as a shift makes them, (height, width, 3) uint8, in order."""
    for number, sample in enumerate(samples):
        planes = planes_of(sample)
        planes = np.repeat(planes, 3 // len(planes), axis=0)  # grey: three equal ones
        if settings is not None:
            shift = ShiftDomainTransform(settings, random_state=seed).at(number)
            planes = shifted_planes(planes, shift)
        # As a file would hold it.
        pixels = planes.transpose(1, 2, 0)
        yield np.round(255 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)


def ablate_shift(
    models: Mapping[str, AnomalyDetector],
    samples: Sequence[Sample],
    shifts: Domains,
    *,
    seed: int,
    condition: str = names.CLEAN,
) -> pd.DataFrame:
    """Measure fitted models on the same images under some shifts, the first none.

    Figures: AUROC of each shift, and its difference to not shifted.
    """
    anomalous = anomalous_of(samples)
    unshifted: dict[str, Float64Array] = {}
    rows = Rows()
    for name, settings in shifts.items():
        images = list(shifted_images(samples, settings, seed))
        for method, model in models.items():
            scores = model.score(images).astype(np.float64)
            before = unshifted.setdefault(method, scores)
            keys = {"setting": f"shift {name}", "method": method}
            rows.append(auroc_row(names.AUROC, anomalous, scores, seed, **keys))
            keys["versus"] = names.NOT_SHIFTED
            rows.append(delong_row(names.AUROC, anomalous, scores, before, **keys))
    return figures(rows, condition=condition, class_=samples[0].class_name)


def cross_shifts(config: Config, split: ClassSplit) -> pd.DataFrame:
    """Train on one shift and test on another, every pair of three domains.

    The domains are the images as they are, moved alone (rotation, crop, translation),
    and of another camera and light alone. Conditions are "trained on geometric" etc.
    """
    others = [part for part in PARTS if part not in GEOMETRIC]
    domains = {
        names.NOT_SHIFTED: None,
        "geometric": config.shift.only(*GEOMETRIC),
        "photometric and light": config.shift.only(*others),
    }
    first = config.seed + len(split.test)  # other draws than of the test images
    tables = []
    for name, domain in domains.items():
        models = {method: new_detector(method, config) for method in names.METHODS}
        for model in models.values():
            model.fit(shifted_images(split.train, domain, first))
        keys: dict[str, Any] = {"seed": config.seed, "condition": f"trained on {name}"}
        tables.append(ablate_shift(models, split.test, domains, **keys))
    return joined(*tables)


def adapt_threshold(clean_val: Predictions, shifted: Run) -> pd.DataFrame:
    """Set the threshold of a model that stays as it is, with more and more knowledge.

    Four ways: the clean threshold as it is; carried over, without a label, by median
    and spread, and by the share predicted anomalous, each from the scores of all
    shifted validation images; and the best F1 on their labels.
    """
    of, limit = (shifted.method, shifted.test), shifted.threshold
    before, after = clean_val.scored()[1], shifted.val.scored()[1]
    moved = transfer_threshold(limit, before, after)
    same_share = transfer_threshold(limit, before, after, rule="quantile")
    n = len(after)
    return joined(
        way("clean threshold", *of, limit),
        way("threshold moved by median and spread", *of, moved, unlabelled=n),
        way("threshold at the same share", *of, same_share, unlabelled=n),
        way("threshold of best F1", *of, shifted.best_f1_threshold, labelled=n),
    )


def top_up(
    model: PatchCore,
    clean: ClassSplit,
    shifted: ClassSplit,
    n_added: Sequence[int] = N_ADDED,
) -> pd.DataFrame:
    """Add a few shifted good images, drawn at random, to a fitted memory bank.

    The threshold is carried over by median and spread of the validation scores, which
    needs no label: from those that the model gave the clean images before, to those
    that it gives the shifted ones after. The model itself stays as it is.
    """
    drawn = np.random.default_rng(model.random_state).permutation(len(shifted.train))
    before, ways = Predictions.of(model, clean.val, maps=False).scored()[1], []
    assert model.threshold_ is not None  # saved with one
    for n in dict.fromkeys(min(wanted, len(drawn)) for wanted in n_added):
        richer = copy.copy(model)
        richer.partial_fit(paths_of(shifted.train[place] for place in drawn[:n]))
        after = Predictions.of(richer, shifted.val, maps=False).scored()[1]
        limit = transfer_threshold(model.threshold_, before, after)
        test = Predictions.of(richer, shifted.test, maps=False)
        name = f"bank and {n} shifted good images, threshold moved"
        needed = {"good": n, "unlabelled": len(after)}
        ways.append(way(name, names.PATCHCORE, test, limit, **needed))
    return joined(*ways)


def way(
    name: str,
    method: str,
    test: Predictions,
    threshold: float,
    *,
    good: int = 0,
    unlabelled: int = 0,
    labelled: int = 0,
) -> pd.DataFrame:
    """Return what a threshold is worth on test images, and how many images it took."""
    anomalous, scores = test.scored()
    rates = metrics.compute_accuracy_precision_recall(anomalous, scores > threshold)
    found = {
        names.THRESHOLD: threshold,
        names.AUROC: metrics.compute_auroc(anomalous, scores),
        names.F1: metrics.compute_f1_at_threshold(anomalous, scores, threshold),
        names.RECALL: rates.recall,
        names.SPECIFICITY: rates.specificity,
        "n_good": good,
        "n_unlabelled": unlabelled,
        "n_labelled": labelled,
    }
    keys = {"setting": f"way {name}", "class_": test.samples[0].class_name}
    rows = rows_of(found, n=len(scores))
    return figures(rows, condition=names.SHIFTED, method=method, **keys)
