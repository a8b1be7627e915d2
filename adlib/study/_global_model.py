"""One model for all classes: whose patches answer for whose, and a shortcut."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adlib._typing import BoolArray, Float64Array, Int64Array
from adlib.datasets import ANOMALOUS, Sample
from adlib.datasets._splits import ClassSplit
from adlib.estimators import PatchCore
from adlib.metrics import compute_auroc
from adlib.neighbors import MemoryBank
from adlib.study import _names as names
from adlib.study._evaluate import delong_row
from adlib.study._predictions import Predictions, looked_up, mask_of
from adlib.study._tables import Rows, figures, row, rows_of


def pooled_split(splits: Mapping[str, ClassSplit]) -> ClassSplit:
    """Return one split, "global", of all classes' images, in the order of classes."""
    parts = [split.parts() for split in splits.values()]
    train, val, test = (
        tuple(sample for part in parts for sample in part[name])
        for name in ("train", "val", "test")
    )
    return ClassSplit("global", next(iter(splits.values())).seed, train, val, test)


def neighbour_shares(
    model: PatchCore, train: Sequence[Sample], samples: Sequence[Sample]
) -> pd.DataFrame:
    """Say which classes' entries are nearest to the patches of a class's test images.

    Returns:
        Figures "neighbour_share", the class of the entries in "versus", of all patches
        of normal images ("patches normal"), of those that masks mark ("patches
        defect"), and of each anomalous image's highest patch ("patches worst").
    """
    classes, entry_class = _classes_of_entries(model, train)
    counts = np.zeros((len(_KINDS), len(classes)), np.int64)
    for sample, _, found in looked_up(model, samples):
        nearest = entry_class[found.indices[:, 0]]
        chosen = {"normal": nearest}
        if sample.label == ANOMALOUS:
            marked = mask_of(sample, model.grid_).ravel()  # none without a mask
            worst = [found.distances[:, 0].argmax()]
            chosen = {"defect": nearest[marked], "worst": nearest[worst]}
        for kind, some in chosen.items():
            counts[_KINDS.index(kind)] += np.bincount(some, minlength=len(classes))
    rows = Rows()
    for kind, count in zip(_KINDS, counts, strict=True):
        if n := int(count.sum()):
            keys = {"n": n, "setting": f"patches {kind}"}
            for name, share in zip(classes, (count / n).tolist(), strict=True):
                rows.append(row("neighbour_share", share, versus=name, **keys))
    return _figures(rows, samples[0].class_name)


def shortcut(
    model: PatchCore,
    train: Sequence[Sample],
    whole: Predictions,
    alone: Float64Array,
    n_entries_alone: int,
) -> pd.DataFrame:
    """Measure what the other classes' entries do to the scores of a class.

    You et al. (2022) call it the identical shortcut that a model of many classes passes
    anomalies through as well as what it was trained on. A memory bank cannot copy its
    input, but an anomaly of one class may lie near what is normal in another. The
    entries of all classes and of the class alone, taken from one and the same global
    bank, differ in nothing else.

    Returns:
        Figures: AUROC with and without the other classes' entries, the difference, and
        the mean share of a score that these take away ("normal_drop",
        "anomalous_drop").

    References:
        1. Z. You et al., "A unified model for multi-class anomaly detection", NeurIPS
           2022.
    """
    class_name = whole.samples[0].class_name
    classes, entry_class = _classes_of_entries(model, train)
    own = entry_class == classes.index(class_name)
    restricted = Predictions.of(_with_entries(model, own), whole.samples, maps=False)
    usable = whole.usable & restricted.usable & ~np.isnan(alone)
    anomalous = whole.anomalous[usable]
    every, some = whole.scores[usable], restricted.scores[usable]
    drop = 1.0 - every / np.where(some > 0.0, some, 1.0)
    n, n_anomalous = len(anomalous), int(anomalous.sum())
    sizes = {"n_entries_alone": n_entries_alone, "n_entries_kept": int(own.sum())}
    aurocs = {
        "auroc_alone": compute_auroc(anomalous, alone[usable]),
        "auroc_own_entries": compute_auroc(anomalous, some),
        "auroc_global": compute_auroc(anomalous, every),
    }
    drops = [float(drop[~anomalous].mean()), float(drop[anomalous].mean())]
    keys: dict[str, Any] = {"setting": "shortcut"}
    rows = [
        *rows_of(sizes, **keys),
        *rows_of(aurocs, n=n, **keys),
        delong_row(
            names.AUROC, anomalous, every, some, versus="own entries", n=n, **keys
        ),
        row("normal_drop", drops[0], n=n - n_anomalous, **keys),
        row("anomalous_drop", drops[1], n=n_anomalous, **keys),
    ]
    return _figures(rows, class_name)


_KINDS = ("normal", "defect", "worst")


def _figures(rows: Rows, class_name: str) -> pd.DataFrame:
    keys = {"condition": names.GLOBAL, "method": names.PATCHCORE}
    return figures(rows, class_=class_name, **keys)


def _classes_of_entries(
    model: PatchCore, train: Sequence[Sample]
) -> tuple[list[str], Int64Array]:
    """Return class names, and of each bank entry the number of its class."""
    if len(train) != len(model.training_images_):
        raise ValueError(
            f"train must be the {len(model.training_images_)} images that the model "
            f"was fitted on; got {len(train)}."
        )
    classes, numbers = np.unique([s.class_name for s in train], return_inverse=True)
    origins = model.memory_bank_.origins
    assert origins is not None  # PatchCore's own banks always know them
    return classes.tolist(), numbers[origins[:, 0]]


def _with_entries(model: PatchCore, chosen: BoolArray) -> PatchCore:
    """Return the model with some of its bank's entries alone."""
    bank = model.memory_bank_
    assert bank.origins is not None
    smaller = copy.copy(model)
    smaller.memory_bank_ = MemoryBank(
        bank.embeddings[chosen], origins=bank.origins[chosen], device=model.device
    )
    return smaller
