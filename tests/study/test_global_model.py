"""One model for all classes, taken apart by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from adlib import PatchCore
from adlib.datasets import read_mask
from adlib.metrics import compute_auroc
from adlib.neighbors import MemoryBank
from adlib.study._interpretation import neighbour_shares, pooled_split, shortcut
from adlib.study._predictions import Predictions, resized_mask
from tests.study.conftest import split_of, value

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp("global")
    bright = {"pill": 1.0, "nut": 0.3}
    return {
        name: split_of(root / name, name=name, brightness=light)
        for name, light in bright.items()
    }


@pytest.fixture(scope="module")
def model(splits):
    paths = [sample.image_path for sample in pooled_split(splits).train]
    return PatchCore(image_size=64, coreset=0.3, progress=False).fit(paths)


def test_a_pooled_split_holds_every_image_once_in_its_part(splits):
    pooled = pooled_split(splits)
    assert (pooled.class_name, pooled.seed) == ("global", 0)
    for name, part in pooled.parts().items():
        parts = [split.parts()[name] for split in splits.values()]
        assert part == parts[0] + parts[1]


def test_shares_are_those_of_every_patch_looked_up_alone(model, splits):
    pooled, bank = pooled_split(splits), model.memory_bank_
    samples = splits["nut"].test
    kinds = {"normal": [], "defect": [], "worst": []}
    for one in model.embeddings([sample.image_path for sample in samples]):
        sample = samples[one.position]
        patches = one.patches.reshape(-1, one.patches.shape[2]).astype(np.float64)
        gaps = np.linalg.norm(patches[:, None] - bank.embeddings, axis=2)
        images = bank.origins[gaps.argmin(axis=1), 0]
        classes = np.array([pooled.train[image].class_name for image in images])
        if not sample.label:
            kinds["normal"] += classes.tolist()
            continue
        marked = resized_mask(read_mask(sample.mask_path), model.grid_).ravel()
        kinds["defect"] += classes[marked].tolist()
        kinds["worst"].append(classes[gaps.min(axis=1).argmax()])
    found = neighbour_shares(model, pooled.train, samples)
    for kind, classes in kinds.items():
        for name in splits:
            keys = {"setting": f"patches {kind}", "versus": name}
            share = value(found, "neighbour_share", **keys)
            assert share == pytest.approx(np.mean(np.array(classes) == name))
            assert value(found, "neighbour_share", "n", **keys) == len(classes) > 0
    with pytest.raises(ValueError, match="train must be the 16 images"):
        neighbour_shares(model, splits["nut"].train, samples)


def test_other_classes_entries_lower_scores_by_what_is_nearest(model, splits):
    pooled, test = pooled_split(splits), splits["pill"].test
    labels = [sample.label for sample in test]
    whole = Predictions.of(model, test, maps=False)
    found = shortcut(model, pooled.train, whole)

    def of(metric, column="value", **keys):
        return value(found, metric, column, setting="shortcut", **keys)

    kept = model.memory_bank_.origins[:, 0] < 8
    assert of("n_entries_kept") == kept.sum()
    own = copy.copy(model)
    own.memory_bank_ = MemoryBank(model.memory_bank_.embeddings[kept])
    alone = own.score([sample.image_path for sample in test])
    assert of("auroc_own_entries") == compute_auroc(labels, alone)
    assert of("auroc_global") == compute_auroc(labels, whole.scores)
    assert 0.0 <= of("normal_drop") < 0.5
    assert 0.0 <= of("anomalous_drop") < 0.5
    change = of("auroc_global") - of("auroc_own_entries")
    versus = {"versus": "own entries"}
    assert of("auroc", **versus) == pytest.approx(change)
    assert of("auroc", "low", **versus) <= change <= of("auroc", "high", **versus)
    assert of("anomalous_drop", "n") == sum(labels)
