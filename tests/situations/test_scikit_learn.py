"""What people who know scikit-learn expect."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline

from adlib import PatchCore
from adlib.estimators import auroc_scorer
from tests.conftest import scratched, texture
from tests.situations.situation import check, refused, warned, works

pytestmark = pytest.mark.slow

GOOD = [texture(seed) for seed in range(20, 29)]
X = GOOD + [scratched(seed) for seed in range(40, 43)]
SIGNS = np.array([1] * 9 + [-1] * 3)
BITS = np.array([0] * 9 + [1] * 3)
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
ONE_FOLD = PredefinedSplit([-1] * 6 + [0] * 3 + [-1, 0, 0])  # learns 6 and 9


def quick(**parameters):
    return PatchCore(
        **{"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    )


def areas(y, scoring, cv=FOLDS, model=None):
    return cross_val_score(
        model or quick(), X, y, cv=cv, scoring=scoring, error_score="raise"
    )


def searched(y, scoring, cv=FOLDS):
    grid = {"coreset": [0.1, 0.3]}
    found = GridSearchCV(
        quick(), grid, cv=cv, scoring=scoring, error_score="raise", refit=False
    )
    return found.fit(X, y)


SCORERS = "decision_function is higher for normal images.*auroc_scorer"
SITUATIONS = {
    "roc_auc with labels +1 and -1": works(
        lambda place: areas(SIGNS, "roc_auc").min() > 0.9
    ),
    "roc_auc with labels 0 and 1": warned(
        lambda place: areas(BITS, "roc_auc", ONE_FOLD).shape == (1,),
        SCORERS,
    ),
    "average_precision with labels 0 and 1": warned(
        lambda place: areas(BITS, "average_precision", ONE_FOLD).shape == (1,),
        SCORERS,
    ),
    "roc_auc with labels of bool": warned(
        lambda place: areas(BITS == 1, "roc_auc", ONE_FOLD).shape == (1,),
        SCORERS,
    ),
    "roc_auc of a pipeline with labels 0 and 1": warned(
        lambda place: (
            areas(BITS, "roc_auc", ONE_FOLD, Pipeline([("detector", quick())])).shape
            == (1,)
        ),
        SCORERS,
    ),
    "auroc_scorer with labels +1 and -1": works(
        lambda place: areas(SIGNS, auroc_scorer).min() > 0.9
    ),
    "auroc_scorer with labels 0 and 1": works(
        lambda place: (
            areas(BITS, auroc_scorer).tolist() == areas(SIGNS, auroc_scorer).tolist()
        )
    ),
    "auroc_scorer with labels of bool": works(
        lambda place: areas(BITS == 1, auroc_scorer).min() > 0.9
    ),
    "auroc_scorer of a pipeline": works(
        lambda place: (
            areas(BITS, auroc_scorer, model=Pipeline([("detector", quick())])).min()
            > 0.9
        )
    ),
    "auroc_scorer in a grid search": works(
        lambda place: searched(BITS, auroc_scorer).best_score_ > 0.9
    ),
    "roc_auc in a grid search with labels +1 and -1": works(
        lambda place: searched(SIGNS, "roc_auc").best_score_ > 0.9
    ),
    "f1 with labels 0 and 1": refused(
        lambda place: areas(BITS, "f1", model=quick(false_positive_rate=0.2)),
        "[Tt]arget is multiclass|pos_label",
    ),
    "f1 without a threshold": refused(
        lambda place: areas(SIGNS, "f1"), "has no threshold yet. Call calibrate"
    ),
    "cross-validation without a scorer": refused(
        lambda place: areas(SIGNS, None), "scoring must return a number"
    ),
    "score_samples, as scikit-learn's outlier detectors have it": works(
        lambda place: roc_auc_score(SIGNS, quick().fit(X[:6]).score_samples(X)) > 0.9
    ),
    "fit_predict at a rate": works(
        lambda place: (
            set(quick(false_positive_rate=0.2).fit_predict(GOOD).tolist()) == {1, -1}
        )
    ),
    "fit_predict without a rate": refused(
        lambda place: quick().fit_predict(GOOD),
        r"false_positive_rate of PatchCore.fit_predict must be a number in \(0, 1\).*"
        "calibrate",
    ),
    "python -m adlib": works(
        lambda place: (
            "Learn from images"
            in subprocess.run(
                [sys.executable, "-m", "adlib", "--help"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
