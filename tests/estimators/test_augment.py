"""Copies of training images enter the memory bank, and nothing else sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adlib import PatchCore, load
from adlib.estimators._augment import Copy, WithCopies, copies_of, own_patches
from adlib.estimators._patches import Points
from adlib.neighbors import MemoryBank

ALL = ("flips", "quarter_turns", "rotations", "light")
POSES = [  # the eight of a square: as they are, flips, quarter turns
    lambda one: one,
    np.rot90,
    lambda one: np.rot90(one, 2),
    lambda one: np.rot90(one, 3),
    lambda one: one[:, ::-1],
    lambda one: np.rot90(one[:, ::-1]),
    lambda one: np.rot90(one[:, ::-1], 2),
    lambda one: np.rot90(one[:, ::-1], 3),
]
BACK = [  # what undoes each of them
    lambda one: one,
    lambda one: np.rot90(one, 3),
    lambda one: np.rot90(one, 2),
    np.rot90,
    lambda one: one[:, ::-1],
    lambda one: np.rot90(one, 3)[:, ::-1],
    lambda one: np.rot90(one, 2)[:, ::-1],
    lambda one: np.rot90(one)[:, ::-1],
]


def small(**parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen)


def numbers_of(n_images, grid, copies, numbers=None):
    """Return the numbers of own patches of all that are there, and their count."""
    stacked = (grid[0] * (1 + len(copies)), grid[1])
    n_points = n_images * stacked[0] * stacked[1] if numbers is None else len(numbers)
    points = Points(np.empty((n_points, 1), np.float32), stacked, numbers)
    found, n_patches = own_patches(points, copies)
    assert found.grid == grid
    return found.numbers, n_patches


def as_tensor(plane):
    return torch.from_numpy(np.ascontiguousarray(plane, np.float32))[None, None]


def test_poses_are_all_those_of_a_square_once():
    plane = np.random.default_rng(0).random((6, 6), np.float32)
    copies = [copy.of(as_tensor(plane)).numpy() for copy in copies_of(ALL, (6, 6))]
    found = {copy.tobytes() for copy in copies}
    wanted = {np.ascontiguousarray(pose(plane)).tobytes() for pose in POSES[1:]}
    assert wanted < found  # which holds rotated and lit copies, too
    assert len(copies_of(("flips", "quarter_turns"), (6, 6))) == 7
    copies = copies_of(("flips",), (6, 6))
    flips = [copy.of(as_tensor(plane)).numpy()[0, 0] for copy in copies]
    np.testing.assert_array_equal(
        flips, [plane[::-1, ::-1], plane[:, ::-1], plane[::-1]]
    )


@pytest.mark.parametrize(
    ("names", "size", "n_copies"),
    [
        (None, (8, 8), 0),
        (("flips",), (8, 8), 3),
        (("quarter_turns",), (8, 8), 3),
        (("quarter_turns",), (8, 6), 1),
        (("quarter_turns", "flips"), (8, 6), 3),
        (("rotations",), (8, 6), 4),
        (("light",), (8, 8), 2),
        (ALL, (8, 8), 13),
    ],
)
def test_how_many_copies_there_are(names, size, n_copies):
    copies = copies_of(names, size)
    assert len(set(copies)) == n_copies
    image = torch.rand(1, 3, *size)
    for copy in copies:
        changed = copy.of(image)
        assert changed.shape == image.shape
        assert not torch.equal(changed, image)
        assert 0.0 <= changed.min() <= changed.max() <= 1.0


def test_rotations_turn_counter_clockwise_about_the_centre():
    skimage = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(0)
    plane = skimage.resize(rng.random((6, 9)), (64, 96), order=1).astype(np.float32)
    turned = Copy(angle=10.0).of(as_tensor(plane)).numpy()[0, 0]
    wanted = skimage.rotate(plane, 10.0, order=1)
    middle = np.s_[16:48, 24:72]
    np.testing.assert_allclose(turned[middle], wanted[middle], atol=1e-4)


def test_light_scales_and_ends_at_white():
    image = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1)
    dark, bright = (copy.of(image).ravel() for copy in copies_of(("light",), (1, 1)))
    np.testing.assert_allclose(dark, [0.08, 0.4, 0.72], rtol=1e-6)
    np.testing.assert_allclose(bright, [0.125, 0.625, 1.0], rtol=1e-6)


def test_patches_of_copies_are_those_of_the_image_that_they_show():
    grid, copies = (4, 4), copies_of(("flips", "quarter_turns", "light"), (4, 4))
    own = np.arange(16).reshape(grid)
    wanted = np.concatenate([pose(own).ravel() for pose in POSES] + [own.ravel()] * 2)
    found, n_patches = numbers_of(2, grid, copies)
    np.testing.assert_array_equal(found, np.concatenate([wanted, 16 + wanted]))
    assert n_patches == 32
    some = np.array([0, 3, 16, 159, 160, 175, 180])  # 10 grids an image
    found, n_patches = numbers_of(2, grid, copies, some)
    both = np.concatenate([wanted, 16 + wanted])
    np.testing.assert_array_equal(found, both[some])
    assert n_patches == 4
    assert numbers_of(2, grid, ())[0] is None


def test_patches_of_rotated_copies_are_the_nearest():
    (copy,) = [one for one in copies_of(("rotations",), (80, 80)) if one.angle == 10.0]
    found = numbers_of(1, (10, 10), (copy,))[0][100:].reshape(10, 10)
    for row, column in np.ndindex(8, 8):  # the inner ones, not mirrored in
        y, x = row + 1 - 4.5, column + 1 - 4.5
        cosine, sine = np.cos(np.radians(10)), np.sin(np.radians(10))
        source = sine * x + cosine * y + 4.5, cosine * x - sine * y + 4.5
        nearest = np.clip(np.round(source), 0, 9).astype(int)
        assert divmod(found[row + 1, column + 1], 10) == tuple(nearest)


def test_the_bank_is_the_coreset_of_all_patches_of_all_copies(good):
    model = small(augment=("flips", "quarter_turns"), coreset=1.0).fit(good[:2])
    assert len(model.memory_bank_) == model.n_patches_ == 128
    turned = np.concatenate([[pose(one) for pose in POSES] for one in good[:2]])
    every = np.concatenate(
        [one.patches.reshape(64, -1) for one in model.embeddings(turned)]
    )
    found = MemoryBank(every).kneighbors(model.memory_bank_.embeddings)
    np.testing.assert_array_equal(found.distances, 0.0)
    # The coreset of an estimator that is given the copies as images of their own.
    twin = small(coreset=128).fit(turned)
    rows = {row.tobytes() for row in model.memory_bank_.embeddings}
    assert rows == {row.tobytes() for row in twin.memory_bank_.embeddings}
    assert set(twin.memory_bank_.origins[:, 0] // 8) == set(
        model.memory_bank_.origins[:, 0]
    )


def test_turned_images_score_lower_and_training_images_count_once(good, mixed):
    plain = small().fit(good)
    model = small(augment=("flips", "quarter_turns"), coreset=0.5).fit(good)
    turned = np.ascontiguousarray(np.rot90(good, axes=(1, 2)))
    assert (model.score(turned) < plain.score(turned)).all()
    assert model.training_images_ == plain.training_images_
    assert model.training_digests_ == plain.training_digests_
    assert model.grid_ == plain.grid_ == (8, 8)
    assert "from copies too (flips, quarter_turns)" in model.describe()["memory bank"]


@pytest.mark.parametrize("names", [("flips", "quarter_turns"), ("rotations", "light")])
def test_leaving_an_image_out_leaves_its_copies_out(names, good):
    model = small(augment=names, false_positive_rate=0.3).fit(good)
    bank, expected = model.memory_bank_, []
    for i in range(len(good)):
        rest = MemoryBank(bank.embeddings[bank.origins[:, 0] != i])
        model.memory_bank_ = rest
        expected.append(model.score(good[i : i + 1])[0])
    model.memory_bank_ = bank
    np.testing.assert_array_equal(model.left_out_scores_, expected)
    assert model.calibration_.n_normal == len(good)


@pytest.mark.slow
def test_neither_batches_nor_workers_nor_saving_change_the_bank(good, tmp_path):
    model = small(augment=ALL).fit(good)
    for parameters in ({"batch_size": 1}, {"batch_size": 4, "n_workers": 2}):
        again = small(augment=ALL, **parameters).fit(good).memory_bank_
        np.testing.assert_array_equal(again.embeddings, model.memory_bank_.embeddings)
        np.testing.assert_array_equal(again.origins, model.memory_bank_.origins)
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert loaded.augment == ALL
    np.testing.assert_array_equal(loaded.score(good), model.score(good))


def test_a_batch_is_embedded_as_its_images_alone():
    images = torch.rand(3, 3, 16, 16)
    embedder = WithCopies(
        lambda some: some.permute(0, 2, 3, 1), copies_of(ALL, (16, 16))
    )
    whole = embedder(images)
    assert whole.shape == (3, 14 * 16, 16, 3)
    alone = torch.cat([embedder(images[i : i + 1]) for i in range(3)])
    assert torch.equal(whole, alone)


@pytest.mark.parametrize("function", [False, True])
def test_a_region_turns_with_the_copies(function, good):
    mask = np.zeros((64, 64), np.bool_)
    mask[:24, :40] = True
    model = small(
        augment=("flips", "quarter_turns"),
        coreset=1.0,
        region=(lambda _: mask) if function else mask,
    ).fit(good[:2])
    assert model.n_patches_ == len(model.memory_bank_) == 2 * 15
    _, row, column = model.memory_bank_.origins.T
    assert row.max() < 3
    assert column.max() < 5
    plain, every = small().fit(good[:1]), []
    for one in good[:2]:
        turned = np.stack([pose(one) for pose in POSES])
        for back, found in zip(BACK, plain.embeddings(turned), strict=True):
            every.append(back(found.patches))
    inside = {p[r, c].tobytes() for p in every for r in range(3) for c in range(5)}
    assert {row.tobytes() for row in model.memory_bank_.embeddings} <= inside


def test_further_images_bring_their_copies(good):
    model = small(augment=("flips",), coreset=0.25).fit(good[:4])
    model.partial_fit(good[4:])
    assert model.n_patches_ == 6 * 64
    assert len(model.memory_bank_) == 6 * 16
    added = model.memory_bank_.origins[64:]
    assert set(added[:, 0]) <= {4, 5}
    alone = small(augment=("flips",), coreset=0.25).fit(good[4:]).memory_bank_
    np.testing.assert_array_equal(model.memory_bank_.embeddings[64:], alone.embeddings)


def test_an_image_that_is_not_square_is_turned_halfway_alone(good):
    model = small(augment=("quarter_turns",), image_size=(48, 64), coreset=1.0)
    image = good[0, :48]
    bank = model.fit(image[None]).memory_bank_
    both = np.stack([image, np.rot90(image, 2)])
    twin = small(image_size=(48, 64), coreset=48).fit(both).memory_bank_
    rows = [{row.tobytes() for row in one.embeddings} for one in (bank, twin)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("flips", TypeError, r"Pass augment=\('flips',\)."),
        (("mirror",), ValueError, "augment of PatchCore must be one of 'flips'"),
        (("flips", "flips"), ValueError, "each at most once"),
        ((), ValueError, "augment of PatchCore must be None or a tuple"),
        (3, TypeError, "augment of PatchCore must be None or a tuple"),
    ],
)
def test_wrong_names_are_refused(value, error, text, good):
    with pytest.raises(error, match=text):
        small(augment=value).fit(good)
