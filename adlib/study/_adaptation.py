"""Adapt to a shifted domain without retraining, and most of it without a label."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from adlib._typing import Float64Array
from adlib.datasets import Sample
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.metrics import (
    compute_accuracy_precision_recall,
    compute_auroc,
    compute_f1_at_threshold,
)
from adlib.study import _names as names
from adlib.study._evaluate import Run
from adlib.study._predictions import Predictions, paths_of
from adlib.study._tables import Rows, figures, rows_of
from adlib.thresholds import transfer_threshold

N_ADDED = (4, 16)  # shifted good images that a bank is topped up with


def adapt_threshold(clean_val: Predictions, shifted: Run) -> pd.DataFrame:
    """Set the threshold of a model that stays as it is, with more and more knowledge.

    Returns:
        Figures of four ways: the clean threshold as it is; carried over, without a
        label, by median and spread, and by the share predicted anomalous, each from the
        scores of all shifted validation images; and the best F1 on their labels.
    """
    test, limit = shifted.test, shifted.threshold
    before, after = clean_val.scored()[1], shifted.val.scored()[1]
    moved = transfer_threshold(limit, before, after)
    same_share = transfer_threshold(limit, before, after, rule="quantile")
    best, n = shifted.best_f1_threshold, len(after)
    ways = [
        _way("clean threshold", test, limit),
        _way("threshold moved by median and spread", test, moved, unlabelled=n),
        _way("threshold at the same share", test, same_share, unlabelled=n),
        _way("threshold of best F1", test, best, labelled=n),
    ]
    return _figures(ways, shifted.method, shifted.class_name)


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
    before, ways = _look(model, clean.val), []
    assert model.threshold_ is not None  # saved with one
    for wanted in dict.fromkeys(min(n, len(drawn)) for n in n_added):
        richer = copy.copy(model)
        richer.partial_fit(paths_of(shifted.train[place] for place in drawn[:wanted]))
        after = _look(richer, shifted.val)
        limit = transfer_threshold(model.threshold_, before, after)
        test = Predictions.of(richer, shifted.test, maps=False)
        name = f"bank and {wanted} shifted good images, threshold moved"
        ways.append(_way(name, test, limit, good=wanted, unlabelled=len(after)))
    return _figures(ways, type(model).__name__, shifted.class_name)


def retrained_way(run: Run, n_good: int) -> pd.DataFrame:
    """Return what retraining on ``n_good`` images was worth, beside the other ways."""
    n = int(run.val.usable.sum())
    way = _way("retrained", run.test, run.threshold, good=n_good, labelled=n)
    return _figures([way], run.method, run.class_name)


def _way(
    name: str,
    test: Predictions,
    threshold: float,
    *,
    good: int = 0,
    unlabelled: int = 0,
    labelled: int = 0,
) -> Rows:
    """Return what a threshold is worth on test images, and what it needed."""
    anomalous, scores = test.scored()
    rates = compute_accuracy_precision_recall(anomalous, scores > threshold)
    found = {
        names.THRESHOLD: threshold,
        names.AUROC: compute_auroc(anomalous, scores),
        names.F1: compute_f1_at_threshold(anomalous, scores, threshold),
        names.RECALL: rates.recall,
        names.SPECIFICITY: rates.specificity,
        "n_good": good,
        "n_unlabelled": unlabelled,
        "n_labelled": labelled,
    }
    return rows_of(found, n=len(scores), setting=f"way {name}")


def _figures(ways: Iterable[Rows], method: str, class_name: str) -> pd.DataFrame:
    rows = [one for way in ways for one in way]
    return figures(rows, condition=names.SHIFTED, method=method, class_=class_name)


def _look(model: AnomalyDetector, samples: Sequence[Sample]) -> Float64Array:
    return Predictions.of(model, samples, maps=False).scored()[1]
