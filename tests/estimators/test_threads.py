"""How many threads an estimator uses is what ``n_workers`` says, in every stage."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib._threads import Threads, at_most, available_threads
from tests.conftest import quick

SIZE = 160  # 400 patches an image: enough for the search to be worth several threads
DETECTORS = [
    PatchCore(image_size=SIZE, coreset=0.5, progress=False),
    PatchCore(image_size=SIZE, coreset=0.5, aggregation="reweighted", progress=False),
    PaDiM(image_size=SIZE, n_channels=20, progress=False),
]


@pytest.fixture
def pools(monkeypatch):
    """The sizes of all pools that are made."""
    sizes = []
    make = Threads.__init__

    def counted(self, n_threads, *args, **options):
        sizes.append(n_threads)
        make(self, n_threads, *args, **options)

    monkeypatch.setattr(Threads, "__init__", counted)
    return sizes


@pytest.mark.parametrize("detector", DETECTORS, ids=repr)
@pytest.mark.parametrize("n_workers", quick([1, 3], 3))
def test_no_stage_takes_more_threads_than_asked_for(
    detector, n_workers, pools, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    images = np.random.default_rng(0).random((6, SIZE, SIZE), np.float32)
    detector.set_params(n_workers=n_workers).fit(images)
    found = detector.score(images), detector.anomaly_maps(images)
    assert max(pools) == n_workers
    detector.set_params(n_workers=None)
    pools.clear()
    for expected, again in zip(
        (detector.score(images), detector.anomaly_maps(images)), found, strict=True
    ):
        np.testing.assert_array_equal(expected, again)
    assert max(pools) == 2


def test_a_limit_holds_inside_and_for_its_own_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    elsewhere = []
    with at_most(5):
        other = threading.Thread(target=lambda: elsewhere.append(available_threads()))
        other.start()
        other.join()
        with at_most(None):
            assert available_threads() == 5
        with at_most(1):
            assert available_threads() == 1
        assert available_threads() == 5
    assert available_threads() == 2
    assert elsewhere == [2]
