"""The evaluator measures what its parts do, as far as the data allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adlib import PatchCore
from adlib.datasets import Sample, read_mask
from adlib.exceptions import ImageError
from adlib.metrics import (
    aupimo,
    best_f1,
    compute_auroc,
    compute_f1_at_threshold,
    compute_pixel_auroc,
    compute_pro,
    fit_probabilities,
    per_defect_type,
)
from adlib.study import evaluate
from adlib.study._evaluate import run_on_split
from adlib.study._predictions import mask_of, resized_mask
from adlib.thresholds import zone_thresholds
from tests.study.conftest import value


@pytest.fixture(scope="module")
def model(split):
    """A PatchCore with a threshold that skips what it cannot read."""
    fitted = PatchCore(image_size=48, coreset=0.3, on_error="skip", progress=False)
    fitted.fit([sample.image_path for sample in split.train])
    fitted.threshold_ = 21.0
    return fitted


@pytest.fixture(scope="module")
def found(model, split):
    return evaluate(model, split.test)


def same(one, other):
    """Whether two tables hold the same numbers."""
    return one.drop(columns="method").equals(other.drop(columns="method"))


def test_every_number_is_that_of_its_metric(model, split, found):
    paths = [sample.image_path for sample in split.test]
    y = [sample.label for sample in split.test]
    scores, maps = model.score(paths), model.anomaly_maps(paths)
    masks = [
        np.zeros((48, 48), bool)
        if sample.mask_path is None
        else resized_mask(read_mask(sample.mask_path), (48, 48))
        for sample in split.test
    ]
    expected = {
        "auroc": compute_auroc(y, scores),
        "f1": compute_f1_at_threshold(y, scores, 21.0),
        "best_f1": best_f1(y, scores).f1,
        "recall": np.mean(scores[np.array(y) == 1] > 21.0),
        "pixel_auroc": compute_pixel_auroc(masks, maps),
        "aupro": compute_pro(masks, maps, 0.3),
        "aupimo": aupimo(masks, maps).mean,
        "threshold": 21.0,
        "n_normal": 6,
        "n_anomalous": 6,
        "n_skipped": 0,
    }
    for metric, number in expected.items():
        assert value(found, metric) == number, metric
    assert set(found["method"]), set(found["class"]) == ({"PatchCore"}, {"plate"})
    types = [sample.defect_type for sample in split.test]
    (group,) = per_defect_type(y, scores, types, 21.0).values()
    assert value(found, "recall", "low", setting="defect scratch") == group.recall_low
    for kind in ("size", "position"):
        of = found["setting"].str.startswith(f"{kind} ") & (found["metric"] == "auroc")
        assert found.loc[of, "n"].sum() == 6
    low, high = value(found, "auroc", "low"), value(found, "auroc", "high")
    assert low <= value(found, "auroc") <= high
    counts = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert sum(value(found, count) for count in counts) == 12


def test_scores_alone_give_what_needs_no_map(model, split, found):
    scores = model.score([sample.image_path for sample in split.test])
    alone = evaluate(scores, split.test)
    assert set(alone["method"]) == {"scores"}
    missing = {"pixel_auroc", "threshold", "f1", "recall"}
    assert not missing & set(alone.loc[alone["setting"] == "", "metric"])
    for column in ("value", "low", "high"):
        assert value(alone, "auroc", column) == value(found, "auroc", column)


def test_without_anomalous_images_there_are_verdicts_but_no_ranking(model, split):
    good = [sample for sample in split.test if not sample.label]
    found = evaluate(model, good, 0.0)
    assert not {"auroc", "f1", "pixel_auroc"} & set(found["metric"])
    assert set(found["setting"]) == {""}
    assert value(found, "specificity") == 0.0
    assert np.isnan(value(found, "recall"))


@pytest.mark.slow
def test_images_without_a_mask_count_by_image_alone(model, split, found):
    bare = [replace(sample, mask_path=None) for sample in split.test]
    alone = evaluate(model, bare)
    assert not {"pixel_auroc", "aupro"} & set(alone["metric"])
    assert value(alone, "auroc") == value(found, "auroc")
    *others, last = split.test  # an anomalous one
    partly = evaluate(model, [*others, bare[-1]])
    assert last.label
    assert value(partly, "n_anomalous") == 6
    assert value(partly, "pixel_auroc", "n") == 11
    without = value(evaluate(model, others), "pixel_auroc")
    assert value(partly, "pixel_auroc") == without


def test_skipped_images_are_counted_and_left_out(model, split, found, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    extra = Sample(broken, 1, "scratch", split.test[-1].mask_path, "plate", "test")
    holed = evaluate(model, [split.test[0], extra, *split.test[1:]])
    assert value(holed, "n_skipped") == 1
    counted = ["n_skipped"]
    both = [table[~table["metric"].isin(counted)] for table in (holed, found)]
    assert same(*(table.reset_index(drop=True) for table in both))
    strict = PatchCore(image_size=48, coreset=0.3, progress=False)
    strict.fit([sample.image_path for sample in split.train[:3]])
    with pytest.raises(ImageError, match="broken"):
        evaluate(strict, [extra])


def test_scores_that_do_not_fit_are_refused(split):
    with pytest.raises(ValueError, match=r"\(12,\) numbers, one for each sample"):
        evaluate([1.0, 2.0], split.test)
    with pytest.raises(ValueError, match="at least one image"):
        evaluate([], [])
    with pytest.raises(TypeError, match="scores of evaluate"):
        evaluate(["a"] * 12, split.test)


def test_a_run_has_what_lies_behind_the_metrics(model, split, found):
    run = run_on_split(model, split, val_maps=True)
    whole = run.figures("clean", run.threshold)
    assert value(whole, "auroc") == value(found, "auroc")
    best = run.figures("clean", run.best_f1_threshold)
    rule = {"setting": "rule best_f1"}
    for metric in ("threshold", "f1", "recall"):
        assert value(best, metric) == value(whole, metric, **rule)
    scores = [sample.label for sample in split.test], [m.max() for m in run.test.maps]
    highest = {"setting": "aggregation max"}
    assert value(whole, "auroc", **highest) == compute_auroc(*scores)
    learned = fit_probabilities(*run.val.scored(), "logistic")
    y, probabilities = run.test.anomalous, learned(run.test.scores)
    brier = value(whole, "brier_score", setting="reliability")
    assert brier == pytest.approx(np.mean((probabilities - y) ** 2))
    bins = whole[whole["setting"].str.startswith("bin ")]
    assert bins.loc[bins["metric"] == "observed", "n"].sum() == 12
    shares = bins.loc[bins["metric"] == "observed"]
    assert (shares["value"] * shares["n"]).sum() == pytest.approx(6)
    table = run.scores("clean", run.threshold)
    test = table[table["split"] == "test"]
    assert test["score"].tolist() == run.test.scores.tolist()
    assert ((test["score"] > 21.0) == (test["verdict"] == -1)).all()
    assert table["split"].tolist() == ["val"] * 12 + ["test"] * 12


def test_zones_are_measured_by_pixel(model, split):
    run = run_on_split(model, split, val_maps=True)
    whole = run.figures("clean", run.threshold)
    normal = [m for s, m in zip(split.val, run.val.maps, strict=True) if not s.label]
    for zones in ((1, 1), (4, 4)):
        limits = zone_thresholds(normal, zones, false_positive_rate=0.01)
        predicted = np.array([limits.defect_mask(m) for m in run.test.maps])
        masks = np.array([mask_of(sample, (48, 48)) for sample in split.test])
        keys = {"setting": f"zones {zones[0]}x{zones[1]}"}
        found = (predicted & masks).sum()
        assert value(whole, "pixel_recall", **keys) == found / masks.sum()
        false = (predicted & ~masks).sum() / (~masks).sum()
        assert value(whole, "pixel_false_positive_rate", **keys) == false
        f1 = 2 * found / (masks.sum() + predicted.sum())
        assert value(whole, "pixel_f1", **keys) == f1


def test_a_model_without_a_threshold_is_refused(split):
    bare = PatchCore(image_size=48, coreset=0.3, progress=False)
    bare.fit([sample.image_path for sample in split.train])
    with pytest.raises(ValueError, match="saved without one"):
        run_on_split(bare, split)


def test_masks_are_those_of_the_nearest_pixels_and_none_vanishes():
    mask = np.zeros((8, 12), bool)
    mask[1, 2] = True
    expected = np.zeros((4, 6), bool)
    for row in range(4):
        for column in range(6):
            expected[row, column] = mask[2 * row + 1, 2 * column + 1]
    assert not expected.any()
    found = resized_mask(mask, (4, 6))
    assert np.argwhere(found).tolist() == [[0, 1]]
    mask[3, 5] = True
    assert np.argwhere(resized_mask(mask, (4, 6))).tolist() == [[1, 2]]
    assert resized_mask(mask, (8, 12)) is mask
    assert not resized_mask(np.zeros((9, 9), bool), (2, 2)).any()
    assert resized_mask(np.ones((3, 5), bool), (7, 9)).all()
