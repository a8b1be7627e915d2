"""Good images whose grain is alike everywhere, and a detector of them."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PatchCore


@pytest.fixture(scope="session")
def grained():
    """Sixty good images, (60, 96, 96) uint8."""
    rng = np.random.default_rng(4)
    return rng.normal(120, 4, (60, 96, 96)).round().astype(np.uint8)


@pytest.fixture(scope="session")
def judge(grained):
    """A detector with a threshold; it learned the first twenty. Not to be changed."""
    model = PatchCore(image_size=64, coreset=0.1, progress=False).fit(grained[:20])
    return model.calibrate(grained[20:], false_positive_rate=0.1)
