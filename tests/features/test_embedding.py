"""Both embeddings equal their step-by-step twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adlib.features import patch_embeddings
from adlib.features._embedding import embedding_length
from tests import reference

TWINS = {
    "concat": reference.concat_embedding,
    "paper": reference.paper_embedding,
}


def make(channels, grids, n_images=2):
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(n_images, count, *grid)).astype(np.float32)
        for count, grid in zip(channels, grids, strict=True)
    ]


def embed(maps, embedding):
    return patch_embeddings([torch.from_numpy(stage) for stage in maps], embedding)


@pytest.mark.parametrize("embedding", TWINS)
@pytest.mark.parametrize(
    ("channels", "grids"),
    [
        ((512, 1024), [(4, 6), (2, 3)]),
        ((40, 112), [(6, 4), (3, 2)]),
        ((64, 128), [(5, 7), (3, 4)]),
        ((112,), [(3, 5)]),
        ((1,), [(2, 2)]),
        ((7, 3), [(3, 3), (3, 3)]),
        ((256, 512, 1024), [(8, 4), (4, 2), (2, 1)]),
        ((24, 40, 112), [(5, 5), (3, 3), (2, 2)]),
        ((16, 24, 40, 112), [(6, 6), (3, 3), (2, 2), (1, 1)]),
    ],
)
def test_embeddings_equal_the_slow_twin(channels, grids, embedding):
    maps = make(channels, grids)
    found = embed(maps, embedding)
    expected = TWINS[embedding](maps)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert found.shape == (2, *grids[0], embedding_length(embedding, channels))
    assert found.is_contiguous()
    error = np.abs(found.numpy() - expected).max()
    assert error <= 1e-5 * np.abs(expected).max()


def test_the_paper_embedding_of_a_wide_resnet_counts_the_centre_twice():
    layer2, layer3 = make((512, 1024), [(6, 5), (3, 3)], n_images=1)
    found = embed([layer2, layer3], "paper")[0, :, :, :512].numpy()
    padded = np.pad(layer2[0], ((0, 0), (1, 1), (1, 1)))
    for row in range(6):
        for column in range(5):
            around = padded[:, row : row + 3, column : column + 3].sum(axis=(1, 2))
            expected = (around + layer2[0, :, row, column]) / 10
            np.testing.assert_allclose(found[row, column], expected, atol=2e-6)


def test_padding_counts_in_the_mean_of_a_corner():
    ones = [np.ones((1, 1, 3, 3), np.float32)]
    mean = embed(ones, "concat")[0, :, :, 0].numpy()
    np.testing.assert_allclose(mean * 9, [[4, 6, 4], [6, 9, 6], [4, 6, 4]], rtol=1e-6)


@pytest.mark.parametrize("embedding", TWINS)
def test_what_an_image_gives_does_not_depend_on_its_batch(embedding):
    maps = make((40, 112), [(9, 9), (5, 5)], n_images=5)
    together = embed(maps, embedding)
    for i in range(5):
        alone = embed([stage[i : i + 1] for stage in maps], embedding)
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("embedding", TWINS)
def test_the_maps_are_left_as_they_are(embedding):
    maps = make((8, 16), [(4, 4), (2, 2)])
    before = [stage.copy() for stage in maps]
    embed(maps, embedding)
    assert all(np.array_equal(*pair) for pair in zip(maps, before, strict=True))


@pytest.mark.parametrize(
    ("embedding", "channels", "length"),
    [
        ("concat", (40, 112), 152),
        ("concat", (5,), 5),
        ("paper", (40, 112), 1024),
        ("paper", (5,), 1024),
    ],
)
def test_embedding_length(embedding, channels, length):
    assert embedding_length(embedding, channels) == length
