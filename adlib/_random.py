"""Seed global random generators for a block, and restore them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def torch_seeded(random_state: int | None, device: str = "cpu") -> Iterator[None]:
    """Seed torch's generators of the CPU and of ``device`` (None: newly) for the block.

    Where ``device`` is "cuda:N", the generators of the other GPUs are left alone.
    """
    place = torch.device(device)
    gpus = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        generators = [torch.default_generator]
        generators += [torch.cuda.default_generators[gpu.index] for gpu in gpus]
        for generator in generators:
            if random_state is None:
                generator.seed()
            else:
                generator.manual_seed(random_state)
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
