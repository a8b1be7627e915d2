"""Small real-looking images and models that every test may use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads of several processes that share the cores would wait for one another. Set
    # before torch and numba read it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:  # the process that hands out the tests waits for no torch
    from adlib import PatchCore
    from adlib.features._weights import Weights


# The files that take longest.
LONGEST = ("test_examples.py", "test_estimators_common.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that none waits for them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def quick(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """Return cases as parameters of a test, of which all but the chosen are slow."""
    return [
        case if case in chosen else pytest.param(case, marks=pytest.mark.slow)
        for case in cases
    ]


def texture(seed: int, size: int = 64) -> np.ndarray:
    """Return a smooth grey texture, (size, size) uint8, the same for the same seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (size // 8, size // 8), dtype=np.uint8)
    plane = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    noise = rng.integers(-8, 9, (size, size))
    return np.clip(np.asarray(plane, dtype=np.int64) + noise, 0, 255).astype(np.uint8)


def scratched(seed: int, size: int = 64) -> np.ndarray:
    """Return a texture with a bright scratch across its middle."""
    image = texture(seed, size).copy()
    image[size // 2 - 2 : size // 2 + 2, size // 8 : -size // 8] = 255
    return image


@pytest.fixture(scope="session", autouse=True)
def _shared_backbones() -> Iterator[None]:
    """Give detectors of the same pretrained weights one network, fitted or loaded.

    Making it is nine tenths of a fit to small images. tests/features makes its own.
    """
    from adlib.estimators import _detector, _saving
    from adlib.features import Backbone

    made: dict[bytes | str, Backbone] = {}

    def shared(key: bytes | str, make: Callable[[], Backbone]) -> Backbone:
        if key not in made:
            made[key] = make()
        backbone = Backbone.__new__(Backbone)  # what a test changes in it is its own
        backbone.__dict__.update(made[key].__dict__)
        return backbone

    def fitted(name: str, **given: Any) -> Backbone:
        if given["weights"] != "pretrained":
            return Backbone(name, **given)
        seedless = {**given, "random_state": None}  # nothing random stays
        return shared(repr((name, seedless)), lambda: Backbone(name, **given))

    def loaded(name: str, weights: Weights, *given: Any) -> Backbone:
        digest = hashlib.blake2b(repr((name, *given)).encode())
        for tensor, values in weights.items():
            digest.update(f"{tensor} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
        key = digest.digest()
        return shared(key, lambda: Backbone.from_weights(name, weights, *given))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_detector, "Backbone", fitted)
        from_file = SimpleNamespace(from_weights=loaded)
        monkeypatch.setattr(_saving, "Backbone", from_file)
        yield


@pytest.fixture(scope="session")
def good() -> np.ndarray:
    """Six good images, (6, 64, 64) uint8."""
    return np.stack([texture(seed) for seed in range(6)])


@pytest.fixture(scope="session")
def others() -> np.ndarray:
    """Six further good images, to set thresholds with, (6, 64, 64) uint8."""
    return np.stack([texture(seed) for seed in range(20, 26)])


@pytest.fixture(scope="session")
def mixed() -> np.ndarray:
    """Three other good images and three scratched ones, (6, 64, 64) uint8."""
    others = [texture(seed) for seed in range(10, 13)]
    return np.stack(others + [scratched(seed) for seed in range(13, 16)])


@pytest.fixture
def folder(tmp_path: Path, good: np.ndarray) -> Path:
    """A folder of the good images as PNG, 0.png to 5.png."""
    root = tmp_path / "good"
    root.mkdir()
    for i, image in enumerate(good):
        Image.fromarray(image).save(root / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def fitted(good: np.ndarray) -> PatchCore:
    """A small fitted PatchCore without a threshold; tests must not change it."""
    from adlib import PatchCore

    return PatchCore(image_size=64, coreset=0.2, progress=False).fit(good)
