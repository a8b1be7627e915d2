"""A small cluster for the tests of one file: it logs and opens files while it lives."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def client():
    """Two workers in this process, which start in a tenth of a second."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    how = {"processes": False, "n_workers": 2, "threads_per_worker": 1}
    cluster = distributed.LocalCluster(**how, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as one:
        yield one


@pytest.fixture(scope="module")
def processes():
    """Two workers in processes of their own, which are started again when they die."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    how = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0}
    # On a busy machine a worker takes longer than 15 seconds to start again.
    dask = pytest.importorskip("dask", reason="needs the extra dask")
    slow = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        dask.config.set(slow),
        distributed.LocalCluster(**how, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as one,
    ):
        yield one
