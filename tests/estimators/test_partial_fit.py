"""A memory bank takes in further good images, and keeps what it knew."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import adlib
from adlib import PatchCore
from adlib.exceptions import ImageError
from tests.conftest import texture


def learned(good, **parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen).fit(good)


@pytest.fixture(scope="module")
def further():
    return np.stack([255 - texture(seed) // 2 for seed in range(50, 53)])


def test_known_entries_stay_and_new_ones_say_where_they_came_from(good, further):
    model = learned(good)
    known = model.memory_bank_
    model.partial_fit(further)
    bank = model.memory_bank_
    n_known, n_patches = len(known), 64 * len(good)
    np.testing.assert_array_equal(bank.embeddings[:n_known], known.embeddings)
    np.testing.assert_array_equal(bank.origins[:n_known], known.origins)
    assert len(bank) == n_known + round(0.2 * 64 * 3)
    assert set(bank.origins[n_known:, 0]) <= {6, 7, 8}
    assert model.n_patches_ == n_patches + 64 * 3
    assert len(model.training_images_) == 9


def test_new_entries_are_those_of_a_bank_of_the_new_images_alone(good, further):
    model = learned(good).partial_fit(further)
    alone = learned(further).memory_bank_
    added = model.memory_bank_.embeddings[-len(alone) :]
    np.testing.assert_array_equal(added, alone.embeddings)


def test_what_was_added_looks_good_and_nothing_gets_further_away(good, mixed, further):
    model = learned(good, aggregation="max")
    before, others = model.score(further), model.score(mixed)
    model.partial_fit(further)
    assert (model.score(further) < 0.8 * before).all()
    assert (model.score(mixed) <= others).all()


def test_the_threshold_goes_and_left_out_scores_are_of_all_images(folder, further):
    files = sorted(folder.iterdir())
    model = learned(files, false_positive_rate=0.3)
    assert model.threshold_ is not None
    for number, image in enumerate(further):
        files.append(folder / f"further{number}.png")
        Image.fromarray(image).save(files[-1])
    model.partial_fit(files[-3:])
    assert model.threshold_ is None
    assert model.left_out_scores_ is None
    with pytest.raises(ValueError, match="9 images that fit learned from"):
        model.leave_one_out_scores(files[:-3])
    found = model.leave_one_out_scores(files)
    assert (found >= model.score(files)).all()


def test_a_richer_model_is_saved_whole(good, further, mixed, tmp_path):
    model = learned(good).partial_fit(further)
    model.save(tmp_path / "model.adlib")
    loaded = adlib.load(tmp_path / "model.adlib")
    np.testing.assert_array_equal(loaded.score(mixed), model.score(mixed))
    loaded.partial_fit(further)
    assert len(loaded.training_images_) == 12


def test_nothing_learned_yet_is_learned_and_labels_are_heeded(good, further):
    fresh = PatchCore(image_size=64, coreset=0.2, progress=False)
    fresh.partial_fit(good)
    np.testing.assert_array_equal(
        fresh.memory_bank_.embeddings, learned(good).memory_bank_.embeddings
    )
    fresh.partial_fit(further, [0, 1, 0])
    assert len(fresh.training_images_) == 8


def test_a_failed_call_changes_nothing(good, tmp_path):
    model = learned(good)
    state = dict(model.__dict__)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError):
        model.partial_fit(tmp_path)
    assert model.__dict__ == state
    model.on_error = "skip"
    with pytest.raises(ImageError, match="at least one usable normal image"):
        model.partial_fit(tmp_path)
    model.on_error = "raise"
    assert model.__dict__ == state


def test_an_approximate_index_is_trained_again(good, further):
    pytest.importorskip("faiss")
    model = learned(good, search="faiss-hnsw").partial_fit(further)
    assert model.search_recall_.n_queries == 3 * 64 - round(0.2 * 64 * 3)
    assert model.search_recall_.recall > 0.8
