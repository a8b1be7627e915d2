"""Ways to adapt are measured alike, and none sees what it does not say."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from adlib import PatchCore
from adlib.metrics import compute_auroc
from adlib.study._evaluate import run_on_split
from adlib.study._predictions import Predictions
from adlib.study._shifts import adapt_threshold, top_up, way
from adlib.thresholds import calibrate_threshold, transfer_threshold
from tests.study.conftest import split_of, value


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp("splits")
    return split_of(root / "clean"), split_of(root / "dark", brightness=0.4)


@pytest.fixture(scope="module")
def model(splits):
    paths = [sample.image_path for sample in splits[0].train]
    fitted = PatchCore(image_size=64, coreset=0.3, progress=False).fit(paths)
    fitted.threshold_ = 20.0
    return fitted


def test_thresholds_are_those_of_the_metrics(model, splits):
    clean, dark = splits
    val = Predictions.of(model, clean.val, maps=False)
    run = run_on_split(model, dark)
    found = adapt_threshold(val, run)
    share = transfer_threshold(20.0, val.scores, run.val.scores, rule="quantile")
    ways = {
        "clean threshold": (20.0, 0, 0),
        "threshold moved by median and spread": (
            *(transfer_threshold(20.0, val.scores, run.val.scores), 12, 0),
        ),
        "threshold at the same share": (share, 12, 0),
        "threshold of best F1": (calibrate_threshold(*run.val.parted()), 0, 12),
    }
    for name, expected in ways.items():
        columns = ("threshold", "n_unlabelled", "n_labelled")
        of = [value(found, metric, setting=f"way {name}") for metric in columns]
        assert tuple(of) == expected
    whole = run.figures("shifted", run.best_f1_threshold)
    best = {"setting": "way threshold of best F1"}
    for metric in ("auroc", "f1", "recall", "specificity"):
        assert value(found, metric, **best) == value(whole, metric)
    alone = way("alone", "PaDiM", run.test, 20.0, good=8, labelled=12)
    assert set(alone["method"]) == {"PaDiM"}
    needed = [value(alone, f"n_{k}", setting="way alone") for k in ("good", "labelled")]
    assert needed == [8, 12]


@pytest.mark.slow
def test_a_topped_up_bank_knows_the_dark_images_and_the_model_stays(model, splits):
    clean, dark = splits
    n_before = len(model.memory_bank_)
    paths = [sample.image_path for sample in dark.test]
    before = model.score(paths)
    found = top_up(model, clean, dark, n_added=(2, 100))
    assert len(model.memory_bank_) == n_before
    np.testing.assert_array_equal(model.score(paths), before)
    settings = found["setting"].unique()
    assert [value(found, "n_good", setting=one) for one in settings] == [2, 8]
    drawn = np.random.default_rng(0).permutation(8)
    richer = copy.copy(model)
    richer.partial_fit([dark.train[place].image_path for place in drawn[:2]])
    labels = [sample.label for sample in dark.test]
    auroc = value(found, "auroc", setting=settings[0])
    assert auroc == compute_auroc(labels, richer.score(paths))
    after = richer.score([sample.image_path for sample in dark.val])
    before = model.score([sample.image_path for sample in clean.val])
    limit = value(found, "threshold", setting=settings[0])
    assert limit == transfer_threshold(20.0, before, after)
