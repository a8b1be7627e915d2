"""Clusters hold near rows, and skipping some of them loses no neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.neighbors import MemoryBank
from adlib.neighbors._cpu.database import cluster_rows
from adlib.neighbors._cpu.llvm import COLUMNS
from tests import reference


def clustered(n_points, n_features, seed=0):
    """Return points around 40 places."""
    rng = np.random.default_rng(seed)
    places = 10 * rng.normal(size=(40, n_features))
    points = places[rng.integers(0, 40, n_points)]
    return (points + rng.normal(size=points.shape)).astype(np.float32)


@pytest.mark.parametrize("n_points", [1, 2, COLUMNS, COLUMNS + 1, 1000])
@pytest.mark.parametrize("n_features", [1, 5, 60])
def test_every_row_is_in_one_cluster_inside_its_radius(n_points, n_features):
    rows = clustered(n_points, n_features)
    order, centres, radii = cluster_rows(rows)
    np.testing.assert_array_equal(np.sort(order), np.arange(n_points))
    assert len(centres) == len(radii) == -(-n_points // COLUMNS)
    for cluster, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        here = order[cluster * COLUMNS : (cluster + 1) * COLUMNS]
        away = np.linalg.norm(rows[here].astype(np.float64) - centre, axis=1)
        assert (away <= radius).all()
        assert radius <= away.max() * (1 + 1e-6)


def test_radii_are_small_where_rows_lie_in_groups():
    rows = clustered(4000, 30)
    _, _, radii = cluster_rows(rows)
    spread = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
    assert np.median(radii) < 0.3 * np.median(spread)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e15, 1e-30])
def test_equal_rows_are_clusters_of_radius_zero(value):
    order, _, radii = cluster_rows(np.full((300, 4), value, np.float32))
    np.testing.assert_array_equal(np.sort(order), np.arange(300))
    np.testing.assert_array_equal(radii, 0.0)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_rows_of_any_scale_have_clusters(scale):
    rows = clustered(500, 8) * np.float32(scale)
    order, _, radii = cluster_rows(rows)
    np.testing.assert_array_equal(np.sort(order), np.arange(500))
    assert np.isfinite(radii).all()


@pytest.mark.parametrize("n_neighbors", [1, 3, 50])
@pytest.mark.parametrize("bank_size", [40, 5000])
@pytest.mark.parametrize("leaving", [False, True])
def test_skipping_clusters_loses_no_neighbour(n_neighbors, bank_size, leaving):
    rows = clustered(bank_size + 150, 30)
    bank, queries = rows[:bank_size], rows[bank_size:]
    if n_neighbors >= bank_size:
        pytest.skip("more neighbours than entries")
    images = np.arange(bank_size) % 3
    origins = np.stack([images, images, images], axis=1)
    left_out = np.arange(150) % 4 if leaving else None
    found = MemoryBank(bank, origins=origins, device="cpu").kneighbors(
        queries, min(n_neighbors, bank_size // 2), left_out=left_out
    )
    distances, expected = reference.kneighbors(
        bank, queries, found.indices.shape[1], images, left_out
    )
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)
