"""Images that several tests of the study look at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from adlib.datasets import Sample
from adlib.datasets._splits import ClassSplit
from tests.conftest import scratched, texture


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    """A class of plates, some with a scratch that is hardly to be seen."""
    folder = tmp_path_factory.mktemp("ablations")

    def sample(number, part, label):
        pixels = scratched(number) if label else texture(number)
        if label:  # hardly to be seen
            pixels = (0.9 * texture(number) + 0.1 * pixels).astype(np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        kind = "scratch" if label else "good"
        return Sample(path, label, kind, None, "plate", part)

    return ClassSplit(
        "plate",
        0,
        tuple(sample(n, "train", 0) for n in range(8)),
        tuple(sample(n, "val", n % 2) for n in range(10, 22)),
        tuple(sample(n, "test", n % 2) for n in range(30, 42)),
    )
