"""Seed global random generators for a block, and restore them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def torch_seeded(random_state: int | None, device: str = "cpu") -> Iterator[None]:
    """Seed torch's global generators for the block, and restore them.

    Args:
        random_state: The seed; None: a new one each time.
        device: "cpu", or "cuda:N" to seed that GPU's generator too.
    """
    place = torch.device(device)
    on_gpu = place.type == "cuda"
    with torch.random.fork_rng(devices=[place] if on_gpu else []):
        if random_state is None:
            torch.default_generator.seed()
        else:
            torch.default_generator.manual_seed(random_state)
        if on_gpu:
            with torch.cuda.device(place):
                if random_state is None:
                    torch.cuda.seed()
                else:
                    torch.cuda.manual_seed(random_state)
        yield


@contextmanager
def numpy_seeded(random_state: int | None) -> Iterator[None]:
    """Seed NumPy's global generator for the block (None: newly), and restore it."""
    words = np.random.SeedSequence(random_state).generate_state(4)
    before = np.random.get_state()  # noqa: NPY002 - the one that others draw from
    np.random.seed(words)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
