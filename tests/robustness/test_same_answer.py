"""The same images, the same answer: however they come, whatever computes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adlib import PaDiM, PatchCore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZE = 48
DETECTORS = {
    "patchcore": PatchCore(image_size=SIZE, coreset=0.2, progress=False),
    "padim": PaDiM(image_size=SIZE, n_channels=20, progress=False),
}
BATCHES, THREADS, ORDERS = (1, 3, 32), (1, 3), ("as it is", "backwards", "mixed")
# Batch size, threads, order and source: any two values of two of them meet.
SETTINGS = [
    (1, 1, "as it is", "tensor"),
    (1, 1, "backwards", "floats"),
    (1, 3, "as it is", "array"),
    (1, 3, "mixed", "generator"),
    (3, 1, "as it is", "generator"),
    (3, 1, "mixed", "floats"),
    (3, 3, "backwards", "array"),
    (3, 3, "backwards", "tensor"),
    (32, 1, "backwards", "generator"),
    (32, 1, "mixed", "array"),
    (32, 3, "as it is", "floats"),
    (32, 3, "mixed", "tensor"),
]
SOURCES = {
    "array": lambda images: images,
    "floats": lambda images: images / np.float64(255),
    "tensor": lambda images: torch.from_numpy(images)[:, None],
    "generator": lambda images: (image for image in images),
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def images(good, mixed):
    return np.concatenate([good, mixed])


@pytest.fixture(scope="module", params=DETECTORS)
def expected(request, good, images):
    """A detector's name, and its scores and maps with plain settings."""
    model = DETECTORS[request.param].set_params(batch_size=8, n_workers=1).fit(good)
    return request.param, model.score(images), model.anomaly_maps(images)


def order_of(name, n_images):
    if name == "as it is":
        return np.arange(n_images)
    if name == "backwards":
        return np.arange(n_images)[::-1]
    return np.random.default_rng(0).permutation(n_images)


def test_any_two_settings_meet():
    every = (BATCHES, THREADS, ORDERS, SOURCES)
    for first, second in itertools.combinations(range(4), 2):
        met = {(settings[first], settings[second]) for settings in SETTINGS}
        assert met == set(itertools.product(every[first], every[second]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("batch_size", "threads", "order", "source"), SETTINGS)
def test_no_setting_of_the_machine_changes_the_answer(
    batch_size, threads, order, source, device, expected, good, images, monkeypatch
):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    name, scores, maps = expected
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    model = type(DETECTORS[name])(**DETECTORS[name].get_params())
    model.set_params(batch_size=batch_size, n_workers=threads, device=device)
    model.fit(SOURCES[source](good))
    places = order_of(order, len(images))
    asked = np.ascontiguousarray(images[places])
    found = model.score(SOURCES[source](asked))
    drawn = model.anomaly_maps(SOURCES[source](asked))
    if device == "cpu":
        np.testing.assert_array_equal(found, scores[places])
        np.testing.assert_array_equal(drawn, maps[places])
    else:  # other kernels add up in another order
        np.testing.assert_allclose(found, scores[places], rtol=1e-3)
        np.testing.assert_allclose(drawn, maps[places], rtol=1e-2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_torchs_own_threads_change_nothing(threads, expected, good, images):
    name, scores, maps = expected
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = type(DETECTORS[name])(**DETECTORS[name].get_params()).fit(good)
        found, drawn = model.score(images), model.anomaly_maps(images)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found, scores)
    np.testing.assert_array_equal(drawn, maps)


STARTED = """
import json, multiprocessing, sys
import numpy as np
import adlib

def score(folder):
    images = np.load(folder + "/images.npy")
    model = adlib.PatchCore(image_size=48, coreset=0.2, progress=False).fit(images[:6])
    loaded = adlib.load(folder + "/part.adlib")
    return model.score(images).tolist(), loaded.score(images).tolist()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    with context.Pool(2) as pool:
        print(json.dumps(pool.map(score, [sys.argv[1]] * 2)))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_how_a_process_is_started_does_not_matter(method, good, images, tmp_path):
    if method == "forkserver" and sys.platform == "win32":
        pytest.skip("Windows only spawns")
    model = PatchCore(image_size=SIZE, coreset=0.2, progress=False).fit(good)
    model.save(tmp_path / "part.adlib")
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "scores.py").write_text(STARTED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "scores.py"), str(tmp_path), method],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    wanted = model.score(images).tolist()
    assert json.loads(done.stdout) == [[wanted, wanted]] * 2


def test_twins_in_the_bank_give_the_first_as_neighbour(good):
    model = PatchCore(image_size=SIZE, coreset=1.0, progress=False)
    model.fit(np.concatenate([good, good]))
    found = model.explain(good[:1])
    # Ties go to the lowest index, in the coreset and in the search (tests/neighbors).
    assert found[0].compared_with in [f"image {i}" for i in range(len(good))]
