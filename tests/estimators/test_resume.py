"""A fit that was stopped goes on from the patches in its folder, or starts again."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adlib import PatchCore, load
from adlib.estimators import _detector, _patches, _room
from adlib.estimators._patches import Patches
from adlib.estimators._results import Inside
from adlib.estimators._resume import LOCK, RECORDS, ROWS, Journal
from adlib.estimators._room import Room
from adlib.exceptions import ImageError, SkippedImagesWarning
from adlib.images import Failure, open_source
from tests.conftest import quick, texture


class StoppedError(Exception):
    """What stops a fit here; a real one is killed in tests/robustness/kills.py."""


@pytest.fixture
def read(monkeypatch):
    """Count the images that are embedded; stop before the batch that ``stop`` says."""

    class Read(list):
        stop = None

    names = Read()
    embed = _patches.embed

    def counted(*args, **more):
        for batch in embed(*args, **more):
            if names.stop is not None and len(names) >= names.stop:
                raise StoppedError
            names.extend(batch.names)
            yield batch

    monkeypatch.setattr(_detector, "embed", counted)
    return names


@pytest.fixture
def said(caplog):
    """Return what holds the lines that are logged."""
    caplog.set_level(logging.INFO, logger="adlib")
    return caplog


@pytest.fixture
def parts(tmp_path):
    """Return a folder of 12 images."""
    root = tmp_path / "parts"
    root.mkdir()
    for i in range(12):
        Image.fromarray(texture(i)).save(root / f"{i:02}.png")
    return root


def new(cache, **parameters):
    defaults = {"image_size": 64, "progress": False, "device": "cpu", "batch_size": 2}
    return PatchCore(**(defaults | parameters), cache=cache)


def saved(model, folder):
    model.save(folder / "model.adlib")
    return (folder / "model.adlib").read_bytes()


def stopped(model, X, read, n_images):
    read.clear()
    read.stop = n_images
    with pytest.raises(StoppedError):
        model.fit(X)
    read.stop = None
    read.clear()


def inside(pixels):
    return pixels > np.median(pixels)


WAYS = {
    "defaults": {},
    "arrays": {},
    "a stream": {},
    "copies": {"augment": ("flips",)},
    "contamination": {"contamination": 0.1},
    "a region": {"region": [(0, 0), (40, 0), (40, 64), (0, 64)]},
    "leave-one-out": {"false_positive_rate": 0.3},
    "two threads": {"n_workers": 2},
}


@pytest.mark.parametrize("way", quick(WAYS, "defaults", "a stream"))
def test_a_fit_goes_on(way, parts, tmp_path, read, said):
    images = np.stack([texture(seed) for seed in range(12)])

    def images_of():
        if way == "arrays":
            return images
        return (image for image in images) if way == "a stream" else parts

    expected = saved(new(None, **WAYS[way]).fit(images_of()), tmp_path)
    cache = tmp_path / "cache"
    stopped(new(cache, **WAYS[way]), images_of(), read, 8)
    found = new(cache, **WAYS[way]).fit(images_of())
    assert saved(found, tmp_path) == expected
    n_again = 12 if "leave" in way else 0
    assert len(read) == 6 + n_again  # the last batch that was there among them
    assert said.messages == [f"{cache} holds the patches of 6 images: goes on."]
    assert [path.name for path in cache.iterdir()] == [LOCK]
    assert load(tmp_path / "model.adlib").cache is None  # a place on this machine


def test_after_the_features_only_the_coreset_is_left(
    parts, tmp_path, read, monkeypatch
):
    expected = saved(new(None).fit(parts), tmp_path)
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:

        def stop(*given):
            raise StoppedError

        patch.setattr(PatchCore, "_select", stop)
        with pytest.raises(StoppedError):
            new(cache).fit(parts)
    read.clear()
    assert saved(new(cache).fit(parts), tmp_path) == expected
    assert len(read) == 2


def test_skipped_images_are_skipped_again(parts, tmp_path, read):
    for name in ("01a", "04a", "04b", "07a", "11a"):
        (parts / f"{name}.png").write_bytes(b"no image")
    (parts / "09.png").unlink()
    how = {"on_error": "skip", "batch_size": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedImagesWarning)
        model = new(None, **how).fit(parts)
        expected, skipped = saved(model, tmp_path), model.skipped_
        for n_images in (1, 3, 5, 8):
            cache = tmp_path / f"cache{n_images}"
            stopped(new(cache, **how), parts, read, n_images)
            found = new(cache, **how).fit(parts)
            assert saved(found, tmp_path) == expected
            assert found.skipped_ == skipped
        with pytest.raises(ImageError, match="01a"):
            new(cache).fit(parts)


def batches_of(source, size, fails, alone):
    """Yield what embedding gives, each image in a record of its own if ``alone``.

    Those that fail are in the last record of their batch, as ``only_inside`` has it.
    """
    items = list(source.items)
    for first in range(0, len(items), size):
        some = items[first : first + size]
        good = [item for item in some if not fails[item.position]]
        failures = [
            Failure(item.position, item.name, "bad")
            for item in some
            if fails[item.position]
        ]
        step = 1 if alone else size
        starts = range(0, max(1, len(good)), step)
        for start in starts:
            here = good[start : start + step]
            whole = np.array([item.image for item in here], np.float32)
            inside = np.arange(4).reshape(2, 2) % 3 == (here or some)[0].position % 3
            yield Patches(
                whole.reshape(len(here), 2, 1, 2) if here else np.empty((0, 1, 1, 1)),
                [item.position for item in here],
                [item.name for item in here],
                [(3, 4)] * len(here),
                [f"{item.position}" for item in here],
                failures if start == starts[-1] else [],
                Inside(inside, np.ones((2, 2), np.float32)) if alone else None,
            )


@settings(max_examples=60, deadline=None)
@given(
    fails=st.lists(st.booleans(), min_size=1, max_size=12),
    size=st.integers(1, 5),
    alone=st.booleans(),
    cut=st.floats(0, 1),
)
def test_wherever_it_is_cut_the_same_batches_come(fails, size, alone, cut):
    images = np.arange(len(fails) * 4, dtype=np.float32).reshape(len(fails), 4)
    source = open_source([image[None] for image in images], "here")

    def run(folder, n_bytes=None):
        if n_bytes is not None:
            content = (folder / RECORDS).read_bytes()
            (folder / RECORDS).write_bytes(content[: int(n_bytes * len(content))])
        names, digests, failures, rows, insides = [], [], set(), [], []
        room = Room(folder, coreset=1, always=True)
        journal = Journal(room, {"a": 1}, len(fails), size).__enter__()
        left = journal.rest(source)
        for batch in journal.keep(batches_of(left, size, fails, alone)):
            names += batch.names
            digests += batch.digests
            failures |= set(batch.failures)
            if batch.names:
                rows.append(batch.embeddings.reshape(-1, 2).copy())
            if batch.inside is not None:
                insides += [batch.inside.patches.tolist()] * len(batch.names)
        if rows:
            rows = np.concatenate(rows)
            np.testing.assert_array_equal(journal.whole()[0], rows)
        journal.__exit__(StoppedError)  # so that the files stay
        return names, digests, failures, np.array(rows).tolist(), insides

    with TemporaryDirectory() as folder:
        whole = run(Path(folder))
        assert len(whole[0]) == len(fails) - sum(fails)
        again = run(Path(folder), cut)
        assert again == whole
        assert run(Path(folder)) == whole


def test_with_labels_the_good_ones_go_on(parts, tmp_path, read):
    labels = [1, 1, -1, 1, 1, 1, -1, -1, 1, 1, 1, 1]
    expected = saved(new(None).fit(parts, labels), tmp_path)
    stopped(new(tmp_path / "cache"), parts, read, 6)
    # What was read with other labels is read again from where they differ.
    assert saved(new(tmp_path / "cache").fit(parts, labels), tmp_path) == expected
    stopped(new(tmp_path / "cache"), parts, read, 6)
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="one label for each image"):
        new(cache).fit((path for path in sorted(parts.iterdir())), labels[:-1])


CHANGES = {
    "another size": {"image_size": 80},
    "another embedding": {"embedding": "nearest"},
    "copies": {"augment": ("light",)},
    "another network": {"stages": (1, 2)},
    "weights": {"weights": None},
    "a region": {"region": [(0, 0), (40, 0), (40, 64), (0, 64)]},
    "colour": {"color": "bgr"},
    "a function": {"region": inside},
}


@pytest.mark.parametrize("change", quick(CHANGES, "copies", "weights"))
def test_other_parameters_start_again(change, parts, tmp_path, read, said):
    cache = tmp_path / "cache"
    stopped(new(cache), parts, read, 8)
    expected = saved(new(None, **CHANGES[change]).fit(parts), tmp_path)
    read.clear()
    found = new(cache, **CHANGES[change]).fit(parts)
    assert saved(found, tmp_path) == expected
    assert len(read) == 12
    (line,) = said.messages
    assert line.endswith("other parameters or another version: starts again.")


def test_a_function_as_region_never_goes_on(parts, tmp_path, read):
    cache = tmp_path / "cache"
    stopped(new(cache, region=inside), parts, read, 8)
    new(cache, region=inside).fit(parts)
    assert len(read) == 12


def test_what_a_coreset_is_chosen_by_may_change(parts, tmp_path, read):
    cache = tmp_path / "cache"
    stopped(new(cache), parts, read, 8)
    new(cache, coreset=0.2, random_state=3, search="exact", batch_size=3).fit(parts)
    assert len(read) == 6


def test_images_that_changed_are_read_again(parts, tmp_path, read, said):
    cache = tmp_path / "cache"
    stopped(new(cache), parts, read, 10)
    Image.fromarray(texture(99)).save(parts / "05.png")
    os.utime(parts / "05.png", ns=(1, 1))
    (parts / "11.png").unlink()
    expected = saved(new(None).fit(parts), tmp_path)
    read.clear()
    assert saved(new(cache).fit(parts), tmp_path) == expected
    assert len(read) == 11 - 2
    stopped(new(cache), parts, read, 10)
    said.clear()
    (parts / "00.png").unlink()
    new(cache).fit(parts)
    assert len(read) == 10
    assert said.messages == [f"{cache} holds patches of other images: starts again."]


@pytest.mark.parametrize("damage", ["half a line", "half a batch", "a bit", "all rows"])
def test_what_is_damaged_counts_for_nothing(damage, parts, tmp_path, read):
    expected = saved(new(None).fit(parts), tmp_path)
    cache = tmp_path / "cache"
    stopped(new(cache), parts, read, 8)
    rows, records = cache / ROWS, cache / RECORDS
    n_batch = 2 * 64 * 152 * 4
    assert rows.stat().st_size == 4 * n_batch
    if damage == "half a line":
        records.write_bytes(records.read_bytes()[:-30])
    elif damage == "half a batch":
        rows.write_bytes(rows.read_bytes()[: 3 * n_batch + 1000])
    elif damage == "a bit":
        content = bytearray(rows.read_bytes())
        content[2 * n_batch + 77] ^= 4
        rows.write_bytes(content)
    else:
        rows.unlink()
    found = new(cache).fit(parts)
    assert saved(found, tmp_path) == expected
    # One whole batch less than there are is kept.
    n_read = {"half a line": 8, "half a batch": 8, "a bit": 10, "all rows": 12}
    assert len(read) == n_read[damage]


def test_one_process_at_a_time_uses_a_folder(parts, tmp_path, read):
    cache = tmp_path / "cache"
    stopped(new(cache), parts, read, 8)
    before = {path: path.read_bytes() for path in cache.iterdir()}
    with (
        FileLock(cache / LOCK),
        pytest.raises(ValueError, match="cache of PatchCore must be a folder that"),
    ):
        new(cache).fit(parts)
    assert {path: path.read_bytes() for path in cache.iterdir()} == before
    new(cache).fit(parts)
    assert len(read) == 6


def test_cache_must_be_a_folder(good, tmp_path):
    with pytest.raises(TypeError, match="cache of PatchCore must be None or a folder"):
        new(7).fit(good)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache of PatchCore must be None or a folder"):
        new(tmp_path / "file").fit(good)


def test_what_a_fit_needs_of_the_disk_is_asked_before(good, tmp_path, monkeypatch):
    monkeypatch.setattr(_room, "free_disk", lambda folder: 1000)
    with pytest.raises(MemoryError, match="GB can be had there"):
        new(tmp_path / "cache").fit(good)
