"""Ways to adapt are judged alike, and none sees what it does not say."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore
from adlib.datasets import Sample
from adlib.datasets._splits import ClassSplit
from adlib.metrics import compute_auroc
from adlib.study import (
    Predictions,
    adapt_threshold,
    adaptation_of,
    adaptations_table,
    read_adaptations,
    read_results,
    run_on_split,
    top_up,
    write_adaptations,
    write_results,
)
from adlib.thresholds import calibrate_threshold, transfer_threshold
from tests.conftest import scratched, texture


def split_of(folder, darker):
    """Return a split of textures, 8 to learn, 6 and 8 of both kinds to judge."""
    folder.mkdir()

    def sample(number, part, label):
        pixels = scratched(number) if label else texture(number)
        path = folder / f"{number}.png"
        Image.fromarray((pixels * darker).astype(np.uint8)).save(path)
        kind = "scratch" if label else "good"
        return Sample(path, label, kind, None, "plate", part)

    return ClassSplit(
        "plate",
        0,
        tuple(sample(n, "train", 0) for n in range(8)),
        tuple(sample(n, "val", n % 2) for n in range(10, 16)),
        tuple(sample(n, "test", n % 2) for n in range(20, 28)),
    )


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp("splits")
    return split_of(root / "clean", 1.0), split_of(root / "dark", 0.4)


@pytest.fixture(scope="module")
def model(splits):
    paths = [sample.image_path for sample in splits[0].train]
    return PatchCore(image_size=64, coreset=0.3, progress=False).fit(paths)


def test_thresholds_are_those_of_the_metrics(model, splits):
    clean, dark = splits
    val = Predictions.of(model, clean.val, maps=False)
    run = run_on_split(model, dark, threshold=20.0)
    as_is, moved, share, labelled = adapt_threshold(val, 20.0, run)
    assert as_is.threshold == 20.0
    assert moved.threshold == transfer_threshold(20.0, val.scores, run.val.scores)
    assert share.threshold == transfer_threshold(
        20.0, val.scores, run.val.scores, rule="quantile"
    )
    assert labelled.threshold == calibrate_threshold(*run.val.parted())
    assert [way.n_labelled for way in (as_is, moved, share, labelled)] == [0, 0, 0, 6]
    assert moved.n_unlabelled == 6
    assert run.recalibrated().evaluation.image.f1.value == labelled.f1
    assert as_is.auroc == labelled.auroc == run.evaluation.image.auroc.value


def test_a_topped_up_bank_knows_the_dark_images_and_the_model_stays(model, splits):
    clean, dark = splits
    n_before = len(model.memory_bank_)
    paths = [sample.image_path for sample in dark.test]
    before = model.score(paths)
    two, all_of_them = top_up(model, clean, dark, 20.0, n_added=(2, 100))
    assert (two.n_good, all_of_them.n_good) == (2, 8)
    assert len(model.memory_bank_) == n_before
    np.testing.assert_array_equal(model.score(paths), before)
    drawn = np.random.default_rng(0).permutation(8)
    richer = copy.copy(model)
    richer.partial_fit([dark.train[place].image_path for place in drawn[:2]])
    labels = [sample.label for sample in dark.test]
    assert two.auroc == compute_auroc(labels, richer.score(paths))
    after = richer.score([sample.image_path for sample in dark.val])
    before = model.score([sample.image_path for sample in clean.val])
    assert two.threshold == transfer_threshold(20.0, before, after)


def test_ways_come_back_from_their_file(model, splits, tmp_path):
    run = run_on_split(model, splits[1], threshold=20.0)
    way = adaptation_of(run, "as it is", 8)
    assert (way.n_good, way.n_labelled) == (8, 6)
    write_adaptations([way], tmp_path / "ways.json")
    assert read_adaptations(tmp_path / "ways.json") == [way]
    assert "as it is" in adaptations_table([way])


def test_results_come_back_with_their_intervals(model, splits, tmp_path):
    run = run_on_split(model, splits[0], threshold=20.0)
    write_results([run.evaluation], tmp_path, "results")
    (saved,) = read_results(tmp_path / "results.json")
    image = run.evaluation.image
    assert saved.figure("image_auroc")[:3] == tuple(image.auroc[:3])
    assert saved.figure("image_recall").value == image.recall
    assert np.isnan(saved.figure("image_recall").low)
    assert saved.figure("aupro") is None
