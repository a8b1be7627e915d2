"""A fit over Dask's workers writes the file that one process writes."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib.exceptions import ImageError, SkippedImagesWarning
from adlib.features._backbone import Backbone
from adlib.neighbors._shards import Coordinator
from tests.conftest import quick, texture

pytest.importorskip("distributed", reason="the extra dask is not installed")


from adlib import distributed
from adlib.distributed import _fit, _workers

SMALL = {"image_size": 64, "batch_size": 2}


@pytest.fixture
def small_blocks(monkeypatch):
    """Let many rounds happen on few points."""
    own = Coordinator.__init__
    monkeypatch.setattr(
        Coordinator,
        "__init__",
        lambda self, *given, **named: own(self, *given, **{"block": 8} | named),
    )


def saved(model, tmp_path, name):
    path = tmp_path / name
    model.save(path)
    return path.read_bytes()


PARAMETERS = {
    "the defaults": (PatchCore, {}),
    "a threshold, the paper's scores": (
        PatchCore,
        {"false_positive_rate": 0.2, "aggregation": "reweighted"},
    ),
    "copies in a region": (
        PatchCore,
        {"augment": ("flips",), "region": [(0, 0), (40, 0), (40, 64), (0, 64)]},
    ),
    "aligned": (PatchCore, {"align": texture(0)}),
    "a region of its own for each image": (
        PatchCore,
        {"region": lambda pixels: pixels > 100},
    ),
    "zones": (PatchCore, {"zones": (2, 2)}),
    "maps as anomalib": (PatchCore, {"maps": "anomalib"}),
    "letterboxed": (PatchCore, {"resize": "letterbox", "image_size": (64, 96)}),
    "at random": (PatchCore, {"selection": "random"}),
    "random weights": (PatchCore, {"weights": None, "random_state": 3}),
    "an index": (PatchCore, {"search": "faiss-hnsw"}),
    "PaDiM": (PaDiM, {}),
    "PaDiM, a threshold": (PaDiM, {"false_positive_rate": 0.2, "channels": "pca"}),
}
QUICK = "copies in a region", "PaDiM"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("case", quick(PARAMETERS, *QUICK))
def test_the_model_file_has_the_bytes_of_one_process(case, good, client, tmp_path):
    kind, given = PARAMETERS[case]
    given = SMALL | ({"coreset": 0.3} if kind is PatchCore else {}) | given
    X = good
    if case == "aligned":
        X = np.stack([np.roll(good[0], (i, 1), (0, 1)) // 2 + 40 for i in range(-1, 3)])
    expected = kind(**given).fit(X)
    found = distributed.fit(kind(**given), X, client, n_shards=3)
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")
    assert found.examination_ == expected.examination_
    assert "_engine" not in vars(found)


def uneven(items, n_parts):
    """One part of a single image, one of two, and the rest."""
    edges = [0, 1, 3, len(items)]
    return [items[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("divide", quick([1, 7, uneven], uneven))
def test_it_does_not_matter_how_the_images_are_divided(
    divide, good, client, monkeypatch, tmp_path
):
    n_shards = divide
    if divide is uneven:
        monkeypatch.setattr(_fit, "divided", uneven)
        n_shards = 3
    expected = PatchCore(**SMALL).fit(good)
    found = distributed.fit(PatchCore(**SMALL), good, client, n_shards=n_shards)
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")


@pytest.mark.slow
def test_files_labels_and_broken_images_come_out_the_same(folder, client, tmp_path):
    paths = sorted(folder.rglob("*.png"))
    (broken := tmp_path / "broken.png").write_bytes(b"no image")
    X, y = [paths[0], broken, *paths[1:]], [1, 1, -1, *[1] * (len(paths) - 2)]
    given = SMALL | {"on_error": "skip", "false_positive_rate": 0.3}
    models = [PatchCore(**given), PatchCore(**given)]
    with pytest.warns(SkippedImagesWarning):
        expected = models[0].fit(X, y)
    with pytest.warns(SkippedImagesWarning):
        found = distributed.fit(models[1], X, client, y, n_shards=3)
    assert found.skipped_ == expected.skipped_
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")
    with pytest.warns(SkippedImagesWarning):
        scores = distributed.score(found, X, client)
    with pytest.warns(SkippedImagesWarning):
        assert np.array_equal(scores, expected.score(X), equal_nan=True)


@pytest.mark.parametrize("kind", [PatchCore, PaDiM])
def test_scores_are_those_of_one_process(kind, good, mixed, client):
    model = kind(**SMALL).fit(good)
    assert np.array_equal(distributed.score(model, mixed, client), model.score(mixed))


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_a_killed_selection_goes_on_from_the_file_of_its_picks(
    good, client, monkeypatch, tmp_path
):
    picks, given = tmp_path / "picks", SMALL | {"coreset": 0.5}
    expected = PatchCore(**given).fit(good)
    reported, rounds, add = [], [], _fit.Picks.add

    def killed(self, some):
        add(self, some)
        reported.append(len(some))
        if len(reported) == 8:
            with picks.open("a") as file:
                file.write("[1, 2")  # a line that it was writing
            raise KeyboardInterrupt

    monkeypatch.setattr(_fit.Picks, "add", killed)
    model = PatchCore(**given)
    with pytest.raises(KeyboardInterrupt):
        distributed.fit(model, good, client, picks=picks)
    assert not hasattr(model, "backbone_")
    monkeypatch.setattr(
        _fit.Picks, "add", lambda self, some: add(self, some) or rounds.append(some)
    )
    found = distributed.fit(model, good, client, n_shards=3, picks=picks)
    assert sum(reported) + sum(map(len, rounds)) == len(found.memory_bank_.embeddings)
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")
    assert not picks.exists()


@pytest.mark.slow
def test_the_picks_of_another_seed_are_refused(good, client, tmp_path):
    picks = tmp_path / "picks"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fit.Picks, "remove", lambda self: None)
        distributed.fit(PatchCore(**SMALL), good, client, picks=picks)
    other = PatchCore(**SMALL, random_state=1)
    with pytest.raises(ValueError, match="holds the picks of another one"):
        distributed.fit(other, good, client, picks=picks)


@pytest.mark.parametrize(
    ("left", "message"),
    [("good", "holds the picks of another one"), ("no json", "holds other content")],
)
def test_the_picks_of_other_images_are_refused(left, message, good, client, tmp_path):
    picks = tmp_path / "picks"
    picks.write_text(
        '["adlib picks 1", "00", 3, 0]\n[1]\n' if left == "good" else "{\n"
    )
    with pytest.raises(ValueError, match=f"picks of adlib.distributed.fit .*{message}"):
        distributed.fit(PatchCore(**SMALL), good, client, picks=picks)
    assert picks.exists()


def test_images_that_changed_when_they_are_read_again_are_an_error(good):
    detector = PatchCore(**SMALL)
    settings = detector._check_parameters()
    recipe = _workers.Recipe(detector, Backbone(image_size=(64, 64)), settings)
    items = [
        _workers.Item(i, f"image {i}", image, is_rgb=False)
        for i, image in enumerate(good)
    ]
    part = _workers.read_part(recipe, items)
    step = _workers.Step(9, "cpu", 1, _workers.fingerprint([part.summary]))
    origins = _workers.answer(part, step, "origins", np.array([0, 65]))
    assert origins.tolist() == [[0, 0, 0], [1, 0, 1]]
    part = _workers.read_part(recipe, [*items[:-1], items[-1]._replace(image=good[0])])
    with pytest.raises(ImageError, match="6 images from image 0 on were read again"):
        _workers.answer(part, step, "origins", np.array([0]))


def test_large_requests_travel_in_pieces(good, client, monkeypatch, tmp_path):
    monkeypatch.setattr(_fit, "PIECE", 1000)
    monkeypatch.setattr(_workers, "PIECE", 100_000)
    expected = PatchCore(**SMALL).fit(good)
    found = distributed.fit(PatchCore(**SMALL), good, client)
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": "PatchCore"}, TypeError, "model of .*a PatchCore or a PaDiM"),
        ({"client": None}, TypeError, r"client of .* dask\.distributed\.Client"),
        ({"n_shards": 0}, ValueError, "n_shards of .*at least 1; got 0"),
        ({"model": PatchCore(cache="here")}, ValueError, "cache of .*None.*got 'here'"),
        ({"model": PatchCore(projection=9)}, ValueError, "projection of .*None.*got 9"),
        (
            {"model": PatchCore(contamination=0.1)},
            ValueError,
            "contamination of adlib.distributed.fit must be None",
        ),
        ({"picks": "."}, ValueError, "picks of .*a file, in a folder that is there"),
        ({"picks": "nowhere/picks"}, ValueError, "picks of .*got 'nowhere/picks'"),
        ({"X": []}, ValueError, r"X of PatchCore\.fit"),
        ({"X": ["nowhere.png"]}, ImageError, "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(given, error, message, good, client):
    given = {"model": PatchCore(**SMALL), "X": good, "client": client} | given
    with pytest.raises(error, match=message):
        distributed.fit(**given)


def test_score_refuses_what_is_no_fitted_detector(good, client):
    with pytest.raises(TypeError, match=r"model of .*a fitted detector"):
        distributed.score("model", good, client)
    with pytest.raises(Exception, match="has not learned anything yet"):
        distributed.score(PatchCore(), good, client)


def test_all_images_unusable_is_the_error_of_fit(client, tmp_path):
    (broken := tmp_path / "broken.png").write_bytes(b"no image")
    model = PatchCore(**SMALL, on_error="skip")
    with pytest.raises(ImageError, match=re.escape("got none (1 skipped)")):
        distributed.fit(model, [broken], client)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PatchCore, PaDiM])
def test_processes_write_the_same_bytes(kind, good, processes, tmp_path):
    given = SMALL | {"false_positive_rate": 0.2}
    expected = kind(**given).fit(good)
    found = distributed.fit(kind(**given), good, processes)
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")
    scores = distributed.score(found, good, processes)
    assert np.array_equal(scores, expected.score(good))


def kill_a_worker(client):
    """Kill one process that this client's workers run in."""
    (pid, *_) = client.run(os.getpid).values()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_a_worker_that_dies_changes_nothing(good, processes, tmp_path, monkeypatch):
    given = SMALL | {"coreset": 0.5}
    expected = PatchCore(**given).fit(good)
    rounds, add = [], _fit.Picks.add

    def add_and_kill(self, some):
        add(self, some)
        rounds.append(len(some))
        if len(rounds) in (3, 9):
            kill_a_worker(processes)

    monkeypatch.setattr(_fit.Picks, "add", add_and_kill)
    found = distributed.fit(PatchCore(**given), good, processes)
    assert len(rounds) > 9
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")


@pytest.mark.slow
def test_a_worker_that_dies_while_images_are_read_changes_nothing(processes, tmp_path):
    X = np.stack([texture(seed) for seed in range(60)])
    expected = PatchCore(**SMALL).fit(X)
    killer = threading.Thread(
        target=lambda: (time.sleep(0.3), kill_a_worker(processes))
    )
    killer.start()
    found = distributed.fit(PatchCore(**SMALL), X, processes)
    killer.join()
    assert saved(found, tmp_path, "found") == saved(expected, tmp_path, "expected")
