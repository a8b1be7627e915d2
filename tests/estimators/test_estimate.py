"""What a fit would take, asked before: bytes by the same rules as fit's, and time."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PatchCore
from adlib.cli import main
from adlib.estimators import FitEstimate, _estimate, _room
from adlib.exceptions import ImageError
from tests.conftest import texture

IMAGE = 64 * 152 * 4  # bytes of the patches of an image of 64 pixels


def new(**parameters):
    given = {"image_size": 64, "progress": False, "device": "cpu"}
    return PatchCore(**(given | parameters))


class Clock:
    """A clock that goes by one second each time that it is looked at."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def free(monkeypatch):
    """Return a function that sets how many bytes are free."""

    def set_free(memory, disk):
        monkeypatch.setattr(_room, "available_memory", lambda: int(memory))
        monkeypatch.setattr(_room, "free_disk", lambda folder: int(disk))

    return set_free


def test_it_says_what_fit_takes_and_changes_nothing(good, free):
    free(2 * 6 * IMAGE, 10**9)
    model = new()
    before = dict(model.__dict__)
    found = model.estimate(good)
    assert model.__dict__ == before
    assert isinstance(found, FitEstimate)
    assert found.n_images == 6
    assert found.memory == int(1.5 * 6 * IMAGE)
    assert (found.disk, found.free_memory) == (0, int(2 * 6 * IMAGE))
    assert found.seconds > 0
    assert found.advice == ""
    assert str(found).startswith("To fit 6 images takes about ")
    assert str(found).endswith(" GB are free.")


def test_what_memory_lacks_goes_to_the_disk(good, free):
    free(4 * 6 * IMAGE, 10**9)
    found = new().estimate(good, n_images=100)
    assert found.disk == int(1.5 * 100 * IMAGE)
    assert found.memory < 6 * 4 * IMAGE
    assert found.advice == ""
    assert "of disk, of which 1 GB are free" in str(found)
    free(4 * 6 * IMAGE, 75 * IMAGE)
    found = new().estimate(good, n_images=100)
    assert found.advice.startswith("Fit 50 images, set image_size to 0.71 of its sides")
    assert str(found).endswith(found.advice)
    with pytest.raises(MemoryError, match="Fit 50 images"):
        new().fit(np.concatenate([good] * 17)[:100])


def test_few_images_of_many_are_read(monkeypatch):
    read = []

    def images():
        for seed in range(1000):
            read.append(seed)
            yield texture(seed % 7)

    with pytest.raises(ValueError, match=r"n_images of PatchCore\.estimate must be"):
        new().estimate(images())
    found = new(batch_size=4).estimate(images(), n_images=500)
    assert found.n_images == 500
    assert len(read) == 12
    new().estimate(images(), n_images=1000)
    assert len(read) == 12 + 48


def test_time_grows_as_measured(good, monkeypatch):
    """By a clock of which each look takes a second: 1 s a batch, 1 s a coreset."""
    monkeypatch.setattr(_estimate, "time", Clock())
    few = new(coreset=0.5).estimate(good)
    # A batch of two images a second; once the coreset and the bank.
    assert few.seconds == pytest.approx(6 * 0.5 + 1 + 1)
    many = new(coreset=0.5).estimate(good, n_images=6000)
    n_kept = 6000 * 32
    grown = (1 + n_kept / 9000) / (1 + 192 / 9000)
    assert many.seconds == pytest.approx(6000 * 0.5 + 1000 * grown + 1000)
    # A second pass, and a search of all patches.
    again = new(coreset=0.5, false_positive_rate=0.2).estimate(good)
    assert again.seconds == pytest.approx(2 * 6 * 0.5 + 1 + 1 + 1)
    cleaned = new(coreset=0.5, contamination=0.1).estimate(good, n_images=12)
    assert cleaned.seconds > new(coreset=0.5).estimate(good, n_images=12).seconds + 2
    assert new(augment=("flips",)).estimate(good).seconds > 0


def test_images_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError):
        new().estimate(tmp_path)
    with pytest.raises(ImageError, match="at least one usable"):
        new(on_error="skip").estimate(tmp_path)
    with pytest.raises(ValueError, match="n_images of PatchCore"):
        new().estimate(np.zeros((2, 64, 64), np.uint8), n_images=0)


def test_the_command_says_it_and_writes_nothing(folder, tmp_path, capsys):
    model = tmp_path / "part.adlib"
    command = ["fit", str(folder), "-o", str(model), "--image-size", "64", "--estimate"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out.startswith("To fit 6 images takes about ")
    assert not model.exists()
    assert main([*command, "--method", "padim"]) == 1
    assert "--estimate belongs to --method patchcore" in capsys.readouterr().err


def test_the_command_keeps_patches_in_a_folder(folder, tmp_path, capsys):
    model, cache = tmp_path / "part.adlib", tmp_path / "cache"
    command = ["fit", str(folder), "-o", str(model), "--image-size", "64"]
    assert main([*command, "--cache", str(cache)]) == 0
    assert [path.name for path in cache.iterdir()] == ["patches.lock"]
    assert main([*command, "--cache", str(model)]) == 1
    assert "--cache must be None or a folder" in capsys.readouterr().err
    assert main([*command, "--cache", str(cache), "--method", "padim"]) == 1
    assert "--cache belongs to --method patchcore" in capsys.readouterr().err
