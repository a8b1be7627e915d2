"""All patches in one array, and where each came from."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from adlib.estimators._patches import Patches, Points, embed, gather, only_inside
from adlib.estimators._settings import check_settings
from adlib.exceptions import ImageError
from adlib.images import open_source


def batches(*sizes):
    rng = np.random.default_rng(0)
    return [rng.random((n, 3, 4, 5), dtype=np.float32) for n in sizes]


@pytest.mark.parametrize("n_images", [None, 9, 12])
def test_all_batches_are_gathered(n_images):
    parts = [Patches(part, [], [], [], [], []) for part in batches(4, 4, 1)]
    found = gather(iter(parts), n_images)
    assert found.grid == (3, 4)
    assert found.embeddings.dtype == np.float32
    wanted = np.concatenate(batches(4, 4, 1)).reshape(-1, 5)
    np.testing.assert_array_equal(found.embeddings, wanted)
    parts[0].embeddings[:] = 0  # a copy of what it was given
    np.testing.assert_array_equal(found.embeddings, wanted)


def test_origins_are_image_row_and_column():
    points = Points(np.empty((60, 1), np.float32), (3, 5), None)
    places = [(i, r, c) for i in range(4) for r in range(3) for c in range(5)]
    np.testing.assert_array_equal(points.origins(np.arange(60)), places)
    np.testing.assert_array_equal(
        points.origins(np.array([59, 0, 16])), [places[59], places[0], places[16]]
    )


@pytest.mark.parametrize("n_images", [None, 9, 12])
def test_patches_of_regions_are_gathered_with_their_places(n_images):
    rng = np.random.default_rng(1)
    shares = [(rng.random((6, 8)) < 0.6).astype(np.float32) for _ in range(9)]
    shares[4:8] = [shares[4]] * 4  # one for a whole batch
    wanted, places, parts = [], [], []
    number = 0
    for part in batches(4, 4, 1):
        own = shares[number : number + len(part)]
        named = [str(i) for i in range(len(part))]
        batch = Patches(part, list(range(len(part))), named, [], [], [])
        parts += list(only_inside(batch, own))
        for image, share in zip(part, own, strict=True):
            for row in range(3):
                for column in range(4):
                    cell = share[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    if cell.mean() >= 0.5:
                        wanted.append(image[row, column])
                        places.append((number, row, column))
            number += 1
    assert [len(part.names) for part in parts] == [1, 1, 1, 1, 4, 1]
    found = gather(iter(parts), n_images)
    np.testing.assert_array_equal(found.embeddings, wanted)
    np.testing.assert_array_equal(found.origins(np.arange(len(places))), places)


def test_embedding_keeps_order_and_counts_failures(fitted, good, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = check_settings(fitted)._replace(on_error="skip", batch_size=2)
    source = open_source([good[0], bad, good[1], good[2], bad], "here")
    patches = list(embed(source, fitted._embedder(), settings, ""))
    assert [p.positions for p in patches] == [[0], [2, 3], []]
    failed = [failure.position for p in patches for failure in p.failures]
    assert failed == [1, 4]
    assert [len(p.embeddings) for p in patches] == [1, 2, 0]
    assert patches[1].embeddings.shape == (2, 8, 8, 152)


def test_a_source_of_failures_alone_embeds_nothing(fitted, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = check_settings(fitted)._replace(on_error="skip")
    source = open_source([bad, bad], "here")
    [only] = embed(source, fitted._embedder(), settings, "")
    assert len(only.failures) == 2
    assert len(only.embeddings) == 0


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_looking_ahead_change_nothing(fitted, good, batch_size):
    settings = check_settings(fitted)

    def embedded(batch_size):
        asked = settings._replace(batch_size=batch_size)
        source = open_source(good, "test")
        patches = list(embed(source, fitted._embedder(), asked, "", digests=True))
        names = [name for one in patches for name in one.names]
        digests = [digest for one in patches for digest in one.digests]
        return names, digests, np.concatenate([one.embeddings for one in patches])

    for came, expected in zip(embedded(batch_size), embedded(5), strict=True):
        np.testing.assert_array_equal(came, expected)


def _read_counting(images, read):
    for image in images:
        read.append(threading.get_ident())
        yield image


def test_a_small_batch_is_embedded_ahead_in_another_thread(fitted, good):
    settings = check_settings(fitted)._replace(batch_size=1, n_workers=1)
    read = []
    source = open_source(good, "test")
    source = replace(source, items=_read_counting(source.items, read))
    patches = embed(source, fitted._embedder(), settings, "test")
    next(patches)
    patches.close()
    assert threading.get_ident() not in read
    assert not [t for t in threading.enumerate() if t.name.startswith("adlib-decode")]


def test_a_stream_is_read_by_whoever_asks_and_no_sooner(fitted, good):
    settings = check_settings(fitted)._replace(batch_size=1)
    read = []
    source = open_source(_read_counting([good[0]] * 9, read), "test")
    patches = embed(source, fitted._embedder(), settings, "test")
    next(patches)
    assert set(read) == {threading.get_ident()}
    assert len(read) == 1
    patches.close()


def test_looking_ahead_raises_when_the_bad_batch_is_asked_for(fitted, good, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = check_settings(fitted)._replace(batch_size=1)
    source = open_source([good[0], bad], "test")
    patches = embed(source, fitted._embedder(), settings, "test")
    assert len(next(patches).names) == 1
    with pytest.raises(ImageError, match=r"bad\.png"):
        next(patches)
