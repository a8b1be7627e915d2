"""What every test of robustness holds the library to: nothing else has changed."""

from __future__ import annotations

import os
import random
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

DESCRIPTORS = Path("/proc/self/fd")


def global_state():
    """What a call must leave as it was, besides files."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "folder": str(Path.cwd()),
        "environment": {
            name: value for name, value in os.environ.items() if "PYTEST" not in name
        },
        "warning filters": list(warnings.filters),
        "random": random.getstate(),
        "NumPy's generator": (numpy_state[1].tolist(), numpy_state[2:]),
        "torch's generator": torch.get_rng_state().tolist(),
        "torch's threads": torch.get_num_threads(),
        "torch's dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "Pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
        "threads": {
            thread.name for thread in threading.enumerate() if thread.is_alive()
        },
        "open files": len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.is_dir() else 0,
    }


@pytest.fixture
def nothing_else_changes():
    """Fail where the test left a thread, a file handle or a changed global state."""
    before = global_state()
    yield
    after = global_state()
    changed = {name for name in before if before[name] != after[name]}
    assert not changed, {name: (before[name], after[name]) for name in changed}
