"""Training images that stand out, and those that are nearly the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from adlib import PaDiM, PatchCore, load
from adlib.estimators._examination import stand_out_limit
from adlib.neighbors import MemoryBank
from tests.conftest import scratched, texture


def small(**parameters):
    chosen = {"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    return PatchCore(**chosen)


def recompressed(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


@pytest.fixture(scope="module")
def odd():
    """Eleven good images, with a scratched one as number 4."""
    images = [texture(seed) for seed in range(100, 111)]
    return np.stack([*images[:4], scratched(7), *images[4:]])


@pytest.fixture(scope="module")
def model(odd):
    return small(false_positive_rate=0.2).fit(odd)


def test_the_scratched_image_stands_out_alone_with_the_patch_of_its_scratch(model):
    found = model.examination_
    (one,) = found.stand_out
    assert (one.path, one.position) == ("image 4", 4)
    assert one.score == model.left_out_scores_[4] > found.limit
    assert one.patch[0] in (3, 4)
    assert not found.near_duplicates
    assert "image 4 stands out" in str(found)


def test_the_patch_compared_with_is_the_nearest_of_another_image(model, odd):
    (one,) = model.examination_.stand_out
    bank = model.memory_bank_
    patch = next(iter(model.embeddings(odd[4:5]))).patches[one.patch]
    distances = np.linalg.norm(bank.embeddings.astype(np.float64) - patch, axis=1)
    distances[bank.origins[:, 0] == 4] = np.inf
    image, row, column = bank.origins[distances.argmin()]
    assert one.compared_with == f"image {image}"
    assert one.compared_position == image
    assert one.compared_patch == (row, column)
    assert one.distance == pytest.approx(distances.min(), rel=1e-6)


def test_examining_afterwards_and_in_fit_is_the_same(model, odd, tmp_path):
    assert model.examine(odd) == model.examination_
    assert small(batch_size=3).fit(odd).examine(odd) == model.examination_
    model.save(tmp_path / "model.adlib")
    loaded = load(tmp_path / "model.adlib")
    assert loaded.examination_ is None
    assert loaded.examine(odd) == model.examination_


def test_positions_are_those_in_the_source_where_labels_leave_images_out(odd):
    labels = np.ones(len(odd))
    labels[[1, 2]] = -1
    found = small(false_positive_rate=0.2).fit(odd, labels).examination_
    assert [one.position for one in found.stand_out] == [4]
    assert [one.path for one in found.stand_out] == ["image 4"]


@pytest.mark.parametrize("change", [np.copy, recompressed, lambda one: one // 16 * 16])
def test_two_versions_of_one_picture_are_nearly_the_same(change):
    images = [texture(seed) for seed in range(8)]
    X = np.stack([*images, change(images[5])])
    found = small().fit(X).examine(X)
    assert [pair.positions for pair in found.near_duplicates] == [(5, 8)]
    assert "image 5 and image 8 are nearly the same" in str(found)


def test_shares_are_those_of_a_count_one_by_one():
    images = [texture(seed) for seed in range(5)]
    X = np.stack([*images, recompressed(images[2]), recompressed(images[0])])
    model = small().fit(X)
    bank, shares = model.memory_bank_, {}
    for i, one in enumerate(model.embeddings(X)):
        others = bank.origins[:, 0] != i
        rest = MemoryBank(bank.embeddings[others])
        found = rest.kneighbors(one.patches.reshape(64, -1))
        distances = found.distances[:, 0]
        for entry in set(found.indices[distances < np.median(distances) / 2, 0]):
            pair = tuple(sorted((i, int(bank.origins[others][entry, 0]))))
            shares[pair] = shares.get(pair, 0) + 1
    wanted = {}
    for pair, n_near in shares.items():
        share = n_near / np.isin(bank.origins[:, 0], pair).sum()
        if share >= 0.05 and n_near >= 3:
            wanted[pair] = share
    found = model.examine(X).near_duplicates
    assert {pair.positions: pair.share for pair in found} == wanted
    assert {(2, 5), (0, 6)} <= set(wanted)
    assert [pair.share for pair in found] == sorted(wanted.values(), reverse=True)


def test_with_a_region_the_patches_are_those_inside(odd):
    region = np.zeros((64, 64), np.bool_)
    region[24:] = True
    model = small(region=region).fit(odd)
    (one,) = model.examine(odd).stand_out
    assert one.position == 4
    assert one.patch[0] in (3, 4)
    compared = (one.compared_position, *one.compared_patch)
    assert compared in set(map(tuple, model.memory_bank_.origins.tolist()))
    region[:40] = False  # the scratch is in rows 30 to 33, and shines into patch 5
    (one,) = small(region=region).fit(odd).examine(odd).stand_out
    assert one.patch[0] == 5


def test_padim_names_what_stands_out(odd):
    found = PaDiM(image_size=64, progress=False).fit(odd).examine(odd)
    assert [one.position for one in found.stand_out] == [4]
    assert found.stand_out[0].compared_with is None
    assert found.near_duplicates == ()


def test_the_limit_is_rarely_passed_by_normal_scores():
    rng = np.random.default_rng(0)
    for n_images, share in ((10, 0.004), (20, 0.001), (100, 0.0001)):
        scores = rng.normal(20, 2, (2000, n_images))
        above = [np.mean(one > stand_out_limit(one)) for one in scores]
        assert np.mean(above) < share
    assert not any(one.max() > stand_out_limit(one) for one in rng.normal(size=(99, 4)))


def test_clean_images_are_said_to_be_so(good):
    assert str(small().fit(good).examine(good)).startswith("no image stands out")


def test_other_images_are_refused(model, odd):
    with pytest.raises(ValueError, match=r"PatchCore.examine must be the 12 images"):
        model.examine(odd[::-1])
