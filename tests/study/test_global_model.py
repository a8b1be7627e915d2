"""One model for all classes, taken apart by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore
from adlib.datasets import Sample, read_mask
from adlib.datasets._splits import ClassSplit
from adlib.study import (
    ImageScores,
    Predictions,
    neighbour_shares,
    neighbours_table,
    pooled_split,
    resized_mask,
    run_on_split,
    shortcut,
    shortcut_table,
)
from tests.conftest import scratched, texture


def split_of(folder, name, darker):
    """Return a split of textures of some brightness, with masks of the scratches."""
    folder.mkdir()

    def sample(number, part, label):
        pixels = scratched(number) if label else texture(number)
        path = folder / f"{number}.png"
        Image.fromarray((pixels * darker).astype(np.uint8)).save(path)
        mask_path = None
        if label:
            mask_path = folder / f"{number}_mask.png"
            Image.fromarray(255 * (pixels == 255).astype(np.uint8)).save(mask_path)
        kind = "scratch" if label else "good"
        return Sample(path, label, kind, mask_path, name, part)

    return ClassSplit(
        name,
        3,
        tuple(sample(n, "train", 0) for n in range(6)),
        tuple(sample(n, "val", n % 2) for n in range(10, 14)),
        tuple(sample(n, "test", n % 2) for n in range(20, 26)),
    )


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp("global")
    found = split_of(root / "pill", "pill", 1.0), split_of(root / "nut", "nut", 0.3)
    return {split.class_name: split for split in found}


def learned(split):
    paths = [sample.image_path for sample in split.train]
    return PatchCore(image_size=64, coreset=0.3, progress=False).fit(paths)


@pytest.fixture(scope="module")
def model(splits):
    return learned(pooled_split(splits))


def test_a_pooled_split_holds_every_image_once_in_its_part(splits):
    pooled = pooled_split(splits)
    assert (pooled.class_name, pooled.seed) == ("global", 3)
    for name, part in pooled.parts().items():
        parts = [split.parts()[name] for split in splits.values()]
        assert part == parts[0] + parts[1]


def test_shares_are_those_of_every_patch_looked_up_alone(model, splits):
    pooled, bank = pooled_split(splits), model.memory_bank_
    samples = splits["nut"].test
    counts = {"normal": [], "defect": [], "worst": []}
    for one in model.embeddings([sample.image_path for sample in samples]):
        sample = samples[one.position]
        patches = one.patches.reshape(-1, one.patches.shape[2]).astype(np.float64)
        gaps = np.linalg.norm(patches[:, None] - bank.embeddings, axis=2)
        images = bank.origins[gaps.argmin(axis=1), 0]
        classes = np.array([pooled.train[image].class_name for image in images])
        if not sample.label:
            counts["normal"] += classes.tolist()
            continue
        marked = resized_mask(read_mask(sample.mask_path), model.grid_).ravel()
        counts["defect"] += classes[marked].tolist()
        counts["worst"].append(classes[gaps.min(axis=1).argmax()])
    found = neighbour_shares(model, pooled.train, samples)
    assert [one.kind for one in found] == list(counts)
    for one in found:
        assert one.n_patches == len(counts[one.kind]) > 0
        for name, share in one.shares.items():
            assert share == pytest.approx(np.mean(np.array(counts[one.kind]) == name))
    assert "nut" in neighbours_table(found)


def test_other_classes_entries_lower_scores_by_what_they_answer(model, splits):
    pooled, own = pooled_split(splits), learned(splits["pill"])
    alone = run_on_split(own, splits["pill"], threshold=1.0)
    whole = Predictions.of(model, splits["pill"].test, maps=False)
    size = len(own.memory_bank_)
    found = shortcut(model, pooled.train, whole, ImageScores.of(alone), size)
    assert found.n_entries_alone == size
    of_pill = model.memory_bank_.origins[:, 0] < 6
    assert found.n_entries_kept == of_pill.sum()
    assert found.auroc_alone == alone.evaluation.image.auroc.value
    assert 0.0 <= found.normal_drop < 0.5
    assert 0.0 <= found.anomalous_drop < 0.5
    change = found.auroc_global - found.auroc_own_entries
    assert found.difference == pytest.approx(change)
    assert found.low <= found.difference <= found.high
    of_kind = [sample.label for sample in splits["pill"].test]
    assert found.n_anomalous == sum(of_kind)
    assert found.n_normal == len(of_kind) - sum(of_kind)
    assert "pill" in shortcut_table([found])


def test_other_training_images_are_refused(model, splits):
    with pytest.raises(ValueError, match="train must be the 12 images"):
        neighbour_shares(model, splits["nut"].train, splits["nut"].test)
