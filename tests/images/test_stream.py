"""Batches come in order, not far ahead, and leave nothing behind."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adlib.exceptions import ImageError
from adlib.images import open_source, read_batches

SIZE = (16, 16)
N_IMAGES = 30
IMAGES = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 20, 24), dtype=np.uint8)
BAD = np.full(SIZE, np.nan, np.float32)


def stream(X, batch_size=4, n_workers=2, **options):
    return read_batches(
        open_source(X, "fit"),
        image_size=SIZE,
        batch_size=batch_size,
        n_workers=n_workers,
        **options,
    )


def decoding_threads():
    threads = threading.enumerate()
    return [thread for thread in threads if thread.name.startswith("adlib-decode")]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert decoding_threads() == []


@pytest.mark.parametrize(
    ("batch_size", "lengths"),
    [(1, [1] * 30), (7, [7, 7, 7, 7, 2]), (15, [15, 15]), (30, [30]), (64, [30])],
)
def test_batches_are_full_but_for_the_last(batch_size, lengths):
    batches = list(stream(IMAGES, batch_size))
    assert [len(batch.images) for batch in batches] == lengths
    assert [len(batch.names) for batch in batches] == lengths
    assert [len(batch.positions) for batch in batches] == lengths


def test_a_batch_knows_the_sizes_its_images_had():
    images = [np.zeros(shape, np.uint8) for shape in ((20, 24), (30, 10))]
    entries = [Image.fromarray(images[0]), BAD, Image.fromarray(images[1])]
    (batch,) = stream(entries, on_error="skip")
    assert batch.sizes == [(20, 24), (30, 10)]
    assert batch.positions == [0, 2]


def test_a_batch_has_its_channels_second_in_shape_and_last_in_memory():
    images = next(stream(IMAGES)).images
    assert images.shape == (4, 3, *SIZE)
    assert images.dtype == np.float32
    assert images.transpose(0, 2, 3, 1).flags.c_contiguous


def test_positions_and_names_say_which_images_these_are():
    batches = list(stream(IMAGES, 8))
    positions = [position for batch in batches for position in batch.positions]
    assert positions == list(range(N_IMAGES))
    assert batches[1].names == [f"image {i}" for i in range(8, 16)]


def test_order_is_kept_when_early_images_take_longest():
    sizes = [900, 20, 700, 20, 500, 20, 300, 20]
    planes = [np.full((size, size), 20 * i, np.uint8) for i, size in enumerate(sizes)]
    batches = list(stream(planes, 3, n_workers=4))
    levels = np.concatenate([batch.images for batch in batches]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels * 255, 20 * np.arange(8), atol=0.01)


@pytest.mark.parametrize("n_workers", [2, 5, None])
@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_workers_and_batches_change_nothing(batch_size, n_workers):
    expected = np.concatenate([batch.images for batch in stream(IMAGES, 4, 1)])
    batches = list(stream(IMAGES, batch_size, n_workers))
    images = np.concatenate([batch.images for batch in batches])
    np.testing.assert_array_equal(images, expected)


def test_a_batch_in_hand_is_not_written_again():
    batches = stream(IMAGES)
    first = next(batches)
    before = first.images.copy()
    for _ in batches:
        pass
    np.testing.assert_array_equal(first.images, before)


def test_images_may_differ_in_size_and_colour():
    mixture = [IMAGES[0], np.stack([IMAGES[1, :9]] * 3, axis=2), IMAGES[2, :, :5]]
    (batch,) = stream(mixture)
    assert batch.images.shape == (3, 3, *SIZE)


@pytest.mark.parametrize(("batch_size", "n_workers"), [(1, 1), (4, 2), (2, 4)])
@pytest.mark.parametrize("counted", [True, False])
def test_a_source_is_not_read_further_ahead_than_promised(
    batch_size, n_workers, counted
):
    taken = []
    readers = set()

    def source():
        for image in IMAGES:
            taken.append(image)
            readers.add(threading.current_thread())
            yield image

    opened = open_source(source(), "test")
    if counted:
        opened = replace(opened, n_items=len(IMAGES))
    batches = stream(opened, batch_size, n_workers)
    assert taken == []
    for n_batches in (1, 2, 3):
        next(batches)
        in_hand = n_batches * batch_size
        ahead = batch_size + 2 * n_workers if counted else 0
        assert in_hand <= len(taken) <= in_hand + ahead
        assert bool(ahead) == (len(taken) > in_hand)
    batches.close()
    assert readers == {threading.current_thread()}


def test_no_more_workers_decode_than_asked():
    batches = stream(IMAGES, n_workers=3)
    next(batches)
    assert 1 <= len(decoding_threads()) <= 3
    batches.close()


def test_no_thread_is_left_when_reading_stops_early():
    batches = stream(IMAGES)
    next(batches)
    assert decoding_threads() != []
    batches.close()
    assert decoding_threads() == []


def test_no_thread_is_left_when_the_reader_forgets_the_batches():
    for _ in stream(IMAGES):
        break
    assert decoding_threads() == []


@pytest.mark.parametrize("position", [0, 3, 4, 29])
def test_the_first_unusable_image_stops_the_stream(position):
    images = list(IMAGES)
    images[position] = BAD
    done = []
    with pytest.raises(ImageError, match=f"image {position} must be finite"):
        done.extend(stream(images))
    assert len(done) == position // 4
    assert decoding_threads() == []


def test_images_before_an_unusable_one_still_come_in_whole_batches():
    batches = stream([*IMAGES[:9], BAD])
    assert [next(batches).positions, next(batches).positions] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]
    with pytest.raises(ImageError, match="image 9"):
        next(batches)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("n_given", [0, 1, 17])
def test_an_error_of_the_source_is_its_own(n_given, on_error):
    def camera():
        yield from IMAGES[:n_given]
        raise ConnectionError("camera unplugged")

    with pytest.raises(ConnectionError, match="camera unplugged"):
        list(stream(camera(), on_error=on_error))
    assert decoding_threads() == []


def test_unusable_images_are_skipped_and_listed():
    images = list(IMAGES[:10])
    for position in (0, 4, 5):
        images[position] = BAD
    batches = list(stream(images, 3, on_error="skip"))
    kept = [position for batch in batches for position in batch.positions]
    failures = [failure for batch in batches for failure in batch.failures]
    assert kept == [1, 2, 3, 6, 7, 8, 9]
    assert [len(batch.images) for batch in batches] == [2, 1, 3, 1]
    assert [failure.position for failure in failures] == [0, 4, 5]
    assert [failure.name for failure in failures] == ["image 0", "image 4", "image 5"]
    assert all("must be finite" in failure.reason for failure in failures)
    expected = np.concatenate([b.images for b in stream(IMAGES[kept])])
    skipped = np.concatenate([batch.images for batch in batches])
    np.testing.assert_array_equal(skipped, expected)


def test_failures_fill_a_batch_too():
    images = [IMAGES[0], IMAGES[1], BAD, BAD, IMAGES[4]]
    first, second, third = stream(images, 2, on_error="skip")
    assert first.failures == third.failures == []
    assert [failure.position for failure in second.failures] == [2, 3]
    assert len(second.images) == 0


@pytest.mark.parametrize("n_good", [0, 2])
def test_failures_at_the_end_come_with_an_empty_batch(n_good):
    images = [*IMAGES[:n_good], BAD, BAD]
    *_, last = stream(images, 2, on_error="skip")
    assert last.images.shape == (0, 3, *SIZE)
    assert last.names == []
    assert [failure.position for failure in last.failures] == [n_good, n_good + 1]


def test_broken_files_are_skipped_by_name(tmp_path):
    for i, image in enumerate(IMAGES[:4]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"")
    (batch,) = stream(tmp_path, on_error="skip")
    assert batch.positions == [0, 1, 3]
    assert batch.names == [str(tmp_path / f"{i}.png") for i in (0, 1, 3)]
    (failure,) = batch.failures
    assert failure[:2] == (2, str(tmp_path / "2.png"))
    assert "cannot be decoded" in failure.reason


def test_a_closed_image_is_skipped_like_a_broken_file(tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as closed:
        pass
    (batch,) = stream([IMAGES[0], closed], on_error="skip")
    assert [failure.position for failure in batch.failures] == [1]


def test_what_is_no_image_stops_even_a_stream_that_skips():
    with pytest.raises(TypeError, match="image 1 of X must be a path"):
        list(stream([IMAGES[0], None], on_error="skip"))


def test_an_empty_iterator_gives_no_batches():
    assert list(stream(iter([]))) == []
