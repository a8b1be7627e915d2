"""All patches in one array, and where each came from."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.estimators._patches import PatchStore, embed, origins_of
from adlib.estimators._settings import check_settings
from adlib.images import open_source


def batches(*sizes):
    rng = np.random.default_rng(0)
    return [rng.random((n, 3, 4, 5), dtype=np.float32) for n in sizes]


@pytest.mark.parametrize("n_images", [None, 9, 12])
def test_a_store_gives_back_all_batches(n_images):
    parts = batches(4, 4, 1)
    store = PatchStore(n_images)
    for part in parts:
        store.append(part)
    assert store.n_stored == 9
    whole = store.take()
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_a_store_of_unknown_length_frees_its_batches():
    store = PatchStore(None)
    for part in batches(2, 2):
        store.append(part)
    store.take()
    assert store._parts == []
    assert store._whole is None


def test_a_store_of_known_length_copies_what_it_is_given():
    [part] = batches(2)
    store = PatchStore(2)
    store.append(part)
    kept = part.copy()
    part[:] = 0
    np.testing.assert_array_equal(store.take(), kept)


def test_origins_are_image_row_and_column():
    grid = (3, 5)
    places = [(i, r, c) for i in range(4) for r in range(3) for c in range(5)]
    np.testing.assert_array_equal(origins_of(np.arange(60), grid), places)
    np.testing.assert_array_equal(
        origins_of(np.array([59, 0, 16]), grid), [places[59], places[0], places[16]]
    )


def test_embedding_keeps_order_and_counts_failures(fitted, good, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = check_settings(fitted)._replace(on_error="skip", batch_size=2)
    source = open_source([good[0], bad, good[1], good[2], bad], "here")
    patches = list(embed(source, fitted.backbone_, settings, ""))
    assert [p.batch.positions for p in patches] == [[0], [2, 3], []]
    failed = [failure.position for p in patches for failure in p.batch.failures]
    assert failed == [1, 4]
    assert [len(p.embeddings) for p in patches] == [1, 2, 0]
    assert patches[1].embeddings.shape == (2, 8, 8, 152)


def test_a_source_of_failures_alone_embeds_nothing(fitted, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = check_settings(fitted)._replace(on_error="skip")
    source = open_source([bad, bad], "here")
    [only] = embed(source, fitted.backbone_, settings, "")
    assert len(only.batch.failures) == 2
    assert len(only.embeddings) == 0
